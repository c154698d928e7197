"""Times steps of torchvision's LR-ASPP in plain PyTorch, tuned the way an experienced user would.

usage: segment_step.py THREADS BATCH CLASSES SIDES [DEVICE]     (the driver preloads jemalloc)
A plain step trains torchvision's model, unedited. A mutual step trains slices of a second one, whose convolutions and batch
norms take the leading channels of their parameters; its students are compared with the full network at the size of the
masks. It uses channels-last memory, foreach SGD, and batch statistics from `torch.nn.functional`.
"""
import sys
import time

import torch
import torch.nn as nn
import torch.nn.functional as F
from torchvision.models.segmentation import lraspp_mobilenet_v3_large

import protocol

IGNORE = 255


def channels(base, width):
    """The nearest multiple of 8, but never more than a tenth below."""
    value = base * width
    rounded = max(8, int(value + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * value else rounded


class Slim:
    """torchvision's model at any width; the head has all of its channels at every width."""

    def __init__(self, model):
        self.model, self.width = model, 1.0
        for path, module in model.named_modules():
            if isinstance(module, nn.Conv2d):
                module.forward = self.conv(module, is_slim=path.startswith("backbone"))
            elif isinstance(module, nn.BatchNorm2d):
                module.forward = self.batch_norm(module)

    def conv(self, m, is_slim):
        def forward(x):
            if self.width == 1.0:
                return F.conv2d(x, m.weight, m.bias, m.stride, m.padding, m.dilation, m.groups)
            c_out = channels(m.out_channels, self.width) if is_slim else m.out_channels
            weight = m.weight[:c_out] if m.groups > 1 else m.weight[:c_out, : x.shape[1]]
            bias = m.bias[:c_out] if m.bias is not None else None
            return F.conv2d(x, weight, bias, m.stride, m.padding, m.dilation, c_out if m.groups > 1 else 1)

        return forward

    def batch_norm(self, m):
        def forward(x):
            c = x.shape[1]
            # Running statistics are only followed by the full network; a slice uses the batch's own.
            mean, var = (m.running_mean, m.running_var) if self.width == 1.0 else (None, None)
            return F.batch_norm(x, mean, var, m.weight[:c], m.bias[:c], True, m.momentum, m.eps)

        return forward

    def scores(self, x, width, size):
        """At the size of the masks, from the map that the head makes."""
        self.width = width
        coarse = self.model.classifier(self.model.backbone(x))
        return F.interpolate(coarse, size=size, mode="bilinear", align_corners=False)


def optimizer_of(model):
    decayed = [p for p in model.parameters() if p.dim() == 4 and p.shape[1] != 1]
    free = [p for p in model.parameters() if not any(p is d for d in decayed)]
    groups = [{"params": decayed, "weight_decay": 1e-4}, {"params": free, "weight_decay": 0.0}]
    return torch.optim.SGD(groups, lr=0.01, momentum=0.9, nesterov=True, foreach=True)


def plain_step(model, optimizer, image, masks):
    optimizer.zero_grad(set_to_none=True)
    F.cross_entropy(model(image)["out"], masks, ignore_index=IGNORE).backward()
    optimizer.step()


def mutual_step(slim, optimizer, images, masks, students):
    optimizer.zero_grad(set_to_none=True)
    size = masks.shape[-2:]
    full = slim.scores(images[max(images)], 1.0, size)
    F.cross_entropy(full, masks, ignore_index=IGNORE).backward()
    teacher = F.softmax(full.detach(), dim=1)
    counts = (masks != IGNORE).to(teacher.dtype)
    n = counts.sum()
    for width, side in students:
        student = F.log_softmax(slim.scores(images[side], width, size), dim=1)
        each = F.kl_div(student, teacher, reduction="none").sum(1)
        ((each * counts).sum() / n).backward()
    optimizer.step()


def made_up_masks(batch, classes, side):
    """Squares of 16 pixels, with a frame that has no class; the same as ours."""
    square = torch.arange(side) // 16
    image = torch.arange(batch).view(-1, 1, 1)
    masks = (image + square.view(-1, 1) * 5 + square) * 37 % classes
    masks[:, 0], masks[:, -1], masks[:, :, 0], masks[:, :, -1] = IGNORE, IGNORE, IGNORE, IGNORE
    return masks


def main(threads, batch, classes, sides, device="cpu"):
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    torch.manual_seed(0)

    def model():
        made = lraspp_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=classes)
        return made.to(device, memory_format=torch.channels_last).train()

    plain, slim = model(), Slim(model())
    plain_optimizer, slim_optimizer = optimizer_of(plain), optimizer_of(slim.model)
    image = (torch.rand(batch, 3, max(sides), max(sides)) * 2 - 1).to(device, memory_format=torch.channels_last)
    images = {side: F.interpolate(image, (side, side), mode="bilinear", align_corners=True) for side in sides}
    masks = made_up_masks(batch, classes, max(sides)).to(device)
    for students in protocol.plans():
        start = time.perf_counter()
        if students:
            mutual_step(slim, slim_optimizer, images, masks, students)
        else:
            plain_step(plain, plain_optimizer, image, masks)
        if device != "cpu":
            torch.cuda.synchronize()
        protocol.report(time.perf_counter() - start)


arguments = sys.argv[1:]
main(*map(int, arguments[:3]), [int(side) for side in arguments[3].split(",")], *arguments[4:])
