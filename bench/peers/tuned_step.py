"""Times mutual steps of a slimmable MobileNetV1 in plain PyTorch, tuned the way an experienced user would.

usage: tuned_step.py THREADS BATCH [DEVICE]     (the driver preloads jemalloc)
It uses channels-last memory, foreach SGD with the reference's two weight-decay groups, and batch statistics from
`torch.nn.functional`, without hooks or logging. It was written from the paper, independently of the authors' code.
"""
import sys
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

import protocol

RESOLUTIONS = [224, 192, 160, 128]
BLOCKS = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)] + [(512, 1)] * 5 + [(1024, 2), (1024, 1)]


def channels(base, width):
    """The nearest multiple of 8, but never more than a tenth below."""
    value = base * width
    rounded = max(1, int(value + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * value else rounded


class SlimConvNormAct(nn.Module):
    def __init__(self, c_in, c_out, kernel, stride, depthwise, slim_input):
        super().__init__()
        self.c_in, self.c_out, self.depthwise, self.slim_input = c_in, c_out, depthwise, slim_input
        self.stride, self.padding = stride, kernel // 2
        self.weight = nn.Parameter(torch.empty(c_out, 1 if depthwise else c_in, kernel, kernel))
        nn.init.kaiming_normal_(self.weight, mode="fan_out")
        self.scale = nn.Parameter(torch.ones(c_out))
        self.shift = nn.Parameter(torch.zeros(c_out))
        self.register_buffer("mean", torch.zeros(c_out))
        self.register_buffer("var", torch.ones(c_out))

    def forward(self, x, width):
        c_out = channels(self.c_out, width)
        c_in = channels(self.c_in, width) if self.slim_input else self.c_in
        weight = self.weight[:c_out] if self.depthwise else self.weight[:c_out, :c_in]
        x = F.conv2d(x, weight, None, self.stride, self.padding, 1, c_out if self.depthwise else 1)
        # Running statistics are only followed by the full network; a slice uses the batch's own.
        mean, var = (self.mean, self.var) if width == 1.0 else (None, None)
        x = F.batch_norm(x, mean, var, self.scale[:c_out], self.shift[:c_out], True, 0.1, 1e-5)
        return F.relu6(x, inplace=True)


class MobileNetV1(nn.Module):
    def __init__(self, classes=1000):
        super().__init__()
        layers = [SlimConvNormAct(3, 32, 3, 2, depthwise=False, slim_input=False)]
        c = 32
        for c_out, stride in BLOCKS:
            layers.append(SlimConvNormAct(c, c, 3, stride, depthwise=True, slim_input=True))
            layers.append(SlimConvNormAct(c, c_out, 1, 1, depthwise=False, slim_input=True))
            c = c_out
        self.layers = nn.ModuleList(layers)
        self.classifier = nn.Linear(c, classes)

    def forward(self, x, width):
        for layer in self.layers:
            x = layer(x, width)
        x = x.mean((2, 3))
        return F.linear(x, self.classifier.weight[:, : x.shape[1]], self.classifier.bias)


def optimizer_of(model):
    decayed = [p for p in model.parameters() if (p.dim() == 4 and p.shape[1] != 1) or p.dim() == 2]
    free = [p for p in model.parameters() if not any(p is d for d in decayed)]
    groups = [{"params": decayed, "weight_decay": 1e-4}, {"params": free, "weight_decay": 0.0}]
    return torch.optim.SGD(groups, lr=0.05, momentum=0.9, nesterov=True, foreach=True)


def step(model, optimizer, images, target, students):
    optimizer.zero_grad(set_to_none=True)
    full = model(images[RESOLUTIONS[0]], 1.0)
    F.cross_entropy(full, target).backward()
    teacher = F.softmax(full.detach(), dim=1)
    for width, resolution in students:
        student = F.log_softmax(model(images[resolution], width), dim=1)
        F.kl_div(student, teacher, reduction="batchmean").backward()
    optimizer.step()


def main(threads, batch, device="cpu"):
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    model = MobileNetV1().to(device, memory_format=torch.channels_last)
    optimizer = optimizer_of(model)
    image = torch.randn(batch, 3, 224, 224).to(device, memory_format=torch.channels_last)
    images = {r: F.interpolate(image, (r, r), mode="bilinear", align_corners=True) for r in RESOLUTIONS}
    target = torch.randint(0, 1000, (batch,)).to(device)
    step(model, optimizer, images, target, [(0.9, 224), (0.5, 192), (0.25, 160)])
    for students in protocol.plans():
        start = time.perf_counter()
        step(model, optimizer, images, target, students)
        if device != "cpu":
            torch.cuda.synchronize()
        protocol.report(time.perf_counter() - start)


main(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
