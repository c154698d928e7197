"""What a straightforward PyTorch program computes for one small MutualNet problem: the reference of the parity tests.

    python make.py            (torch 2.11.0, numpy, safetensors; on a CPU)

Writes mobilenet_v1.safetensors and mobilenet_v2.safetensors beside itself.
Weights and images come from `fill`, which the tests repeat, so the files hold results only.
It computes in double precision and stores single: a network is a chain of kinks and normalizations, and the same program
in single precision is up to 1e-2 off in a few gradients. Batch norms shift by about 1.5 and scale by about 0.4 for the
same reason: few activations lie near the kinks of ReLU6.
    logits/train/W-R        logits with batch statistics, 8 sub-networks
    logits/calibrated/W-R   logits with statistics averaged over 3 other batches (cumulative, unbiased variance)
    losses                  [3 steps, full + 3 students]
    grad/NAME               gradient of step 0, every n-th number, 256 at the most
    weight/NAME             weights after 3 steps, likewise
    grad_norm, weight_norm  Euclidean norms of the whole tensors, in the order of the network
"""

import pathlib

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

torch.set_default_dtype(torch.float64)

SUBNETS = [(1.0, 32), (1.0, 20), (0.8, 28), (0.6125, 24), (0.5, 32), (0.4, 20), (0.25, 32), (0.25, 20)]
STEPS = [[(0.8123, 24), (0.41, 32), (0.25, 20)], [(0.95, 32), (0.5, 20), (0.25, 28)], [(0.7, 28), (0.3, 24), (0.25, 32)]]
CLASSES, BATCH, SIDE = 10, 16, 32
LR, MOMENTUM, WEIGHT_DECAY = 0.01, 0.9, 1e-3


def fill(seed, shape):
    """Uniform numbers in [-1, 1) out of an integer hash of seed and position."""
    n = int(np.prod(shape))
    x = np.arange(n, dtype=np.uint64) * 2654435761 + np.uint64(seed) * 40503 + 12345
    x &= 0xFFFFFFFF
    for shift, factor in ((15, 0x2C1B3C6D), (12, 0x297A2D39)):
        x ^= x >> np.uint64(shift)
        x = (x * factor) & 0xFFFFFFFF
    x ^= x >> np.uint64(15)
    return torch.from_numpy((x >> np.uint64(8)).astype(np.float64) / 2**23 - 1).reshape(shape)


def make_divisible(v, divisor=8):
    new = max(1, int(v + divisor / 2) // divisor * divisor)
    return new + divisor if new < 0.9 * v else new


class Net:
    """A list of (kind, path, base channels, ratio, kernel, stride); parameters by name; width as an argument."""

    def __init__(self, layers):
        self.layers, self.p, self.stats = layers, {}, {}
        channels, hidden = 3, None
        for kind, path, base, ratio, kernel, stride in layers:
            if kind in ("conv", "depthwise", "whole"):
                fan = 1 if kind == "depthwise" else channels
                self.add(f"{path}.weight", (base, fan, kernel, kernel), (6 / (kernel * kernel * base)) ** 0.5, 0)
                channels = base
            elif kind == "bn":
                self.add(f"{path}.weight", (channels,), 0.1, 0.4)
                self.add(f"{path}.bias", (channels,), 0.3, 1.5)
            elif kind == "linear":
                self.add(f"{path}.weight", (base, channels), 0.05, 0)
                self.add(f"{path}.bias", (base,), 0.1, 0)

    def add(self, name, shape, scale, mean):
        self.p[name] = (fill(1000 + len(self.p), shape) * scale + mean).requires_grad_()

    def forward(self, x, width, mode="train", momentum=None):
        stack = []
        for kind, path, base, ratio, kernel, stride in self.layers:
            c = x.shape[1]
            if kind in ("conv", "depthwise", "whole"):
                o = base if kind == "whole" else int(make_divisible(base * width / ratio) * ratio)
                depthwise = kind == "depthwise"
                w = self.p[f"{path}.weight"][:o, : (1 if depthwise else c)]
                x = F.conv2d(x, w, None, stride, kernel // 2, 1, c if depthwise else 1)
            elif kind == "bn":
                w, b = self.p[f"{path}.weight"][:c], self.p[f"{path}.bias"][:c]
                if mode == "calibrate" and path not in self.stats:
                    self.stats[path] = (torch.zeros(c), torch.ones(c))
                mean, var = self.stats[path] if mode != "train" else (None, None)
                x = F.batch_norm(x, mean, var, w, b, mode != "eval", momentum or 0.0, 1e-5)
            elif kind == "relu6":
                x = F.relu6(x)
            elif kind == "push":
                stack.append(x)
            elif kind == "add":
                x = x + stack.pop()
            elif kind == "pool":
                x = x.mean((2, 3))
            elif kind == "linear":
                x = F.linear(x, self.p[f"{path}.weight"][:, :c], self.p[f"{path}.bias"])
        return x


def conv_bn(layers, kind, path, idx, base, ratio=1, kernel=1, stride=1, act=True):
    layers.append((kind, f"{path}.{idx}", base, ratio, kernel, stride))
    layers.append(("bn", f"{path}.{idx + 1}", 0, 0, 0, 0))
    if act:
        layers.append(("relu6", "", 0, 0, 0, 0))


def mobilenet_v1():
    layers, c, i = [], 32, 1
    conv_bn(layers, "conv", "features.0", 0, 32, kernel=3, stride=1)
    for out, n, s in [(64, 1, 1), (128, 2, 2), (256, 2, 2), (512, 6, 2), (1024, 2, 2)]:
        for j in range(n):
            conv_bn(layers, "depthwise", f"features.{i}.body", 0, c, kernel=3, stride=s if j == 0 else 1)
            conv_bn(layers, "conv", f"features.{i}.body", 3, out)
            c, i = out, i + 1
    return layers + [("pool", "", 0, 0, 0, 0), ("linear", "classifier.0", CLASSES, 0, 0, 0)]


def mobilenet_v2():
    layers, c, i = [], 32, 1
    conv_bn(layers, "conv", "features.0", 0, 32, kernel=3, stride=1)
    blocks = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]
    for t, out, n, s in blocks:
        for j in range(n):
            residual = j > 0
            if residual:
                layers.append(("push", "", 0, 0, 0, 0))
            k = 0
            if t != 1:
                conv_bn(layers, "conv", f"features.{i}.body", 0, c * t, ratio=t)
                k = 3
            conv_bn(layers, "depthwise", f"features.{i}.body", k, c * t, ratio=t, kernel=3, stride=s if j == 0 else 1)
            conv_bn(layers, "conv", f"features.{i}.body", k + 3, out, act=False)
            if residual:
                layers.append(("add", "", 0, 0, 0, 0))
            c, i = out, i + 1
    conv_bn(layers, "whole", f"features.{i}", 0, 1280)
    return layers + [("pool", "", 0, 0, 0, 0), ("linear", "classifier.0", CLASSES, 0, 0, 0)]


def resize(x, r):
    return x if r == SIDE else F.interpolate(x, (r, r), mode="bilinear", align_corners=True)


def images(seed):
    return fill(seed, (BATCH, 3, SIDE, SIDE)) * 1.7


def some(tensor):
    flat = tensor.detach().reshape(-1)
    return flat[:: max(1, flat.numel() // 256)][:256].clone()


def make(name, layers):
    out, net = {}, Net(layers)
    with torch.no_grad():
        for w, r in SUBNETS:
            out[f"logits/train/{w}-{r}"] = net.forward(resize(images(1), r), w)
            net.stats = {}
            for t in range(3):
                net.forward(resize(images(10 + t), r), w, "calibrate", 1 / (t + 1))
            out[f"logits/calibrated/{w}-{r}"] = net.forward(resize(images(1), r), w, "eval")
    labels = torch.arange(BATCH) * 7 % CLASSES
    decays = lambda p: (p.dim() == 4 and p.shape[1] != 1) or p.dim() == 2
    groups = [{"params": [p], "weight_decay": WEIGHT_DECAY if decays(p) else 0} for p in net.p.values()]
    optimizer = torch.optim.SGD(groups, LR, MOMENTUM, nesterov=True)
    losses = []
    for step, students in enumerate(STEPS):
        optimizer.zero_grad()
        x = images(20 + step)
        logits = net.forward(x, 1.0)
        loss = F.cross_entropy(logits, labels)
        loss.backward()
        losses.append(loss.item())
        teacher = F.softmax(logits.detach(), 1)
        for w, r in students:
            loss = F.kl_div(F.log_softmax(net.forward(resize(x, r), w), 1), teacher, reduction="batchmean")
            loss.backward()
            losses.append(loss.item())
        if step == 0:
            out |= {f"grad/{n}": some(p.grad) for n, p in net.p.items()}
            out["grad_norm"] = torch.stack([p.grad.norm() for p in net.p.values()])
        optimizer.step()
    out["losses"] = torch.tensor(losses).reshape(len(STEPS), -1)
    out |= {f"weight/{n}": some(p) for n, p in net.p.items()}
    out["weight_norm"] = torch.stack([p.detach().norm() for p in net.p.values()])
    out = {key: value.float() for key, value in out.items()}
    save_file(out, pathlib.Path(__file__).parent / f"{name}.safetensors")
    print(name, out["losses"])


make("mobilenet_v1", mobilenet_v1())
make("mobilenet_v2", mobilenet_v2())
