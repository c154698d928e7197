"""Solves one small MutualNet problem in plain PyTorch, as the reference for the parity tests.

    python make.py FACTS      (torch 2.11.0, torchvision 0.26.0, numpy, safetensors; on a CPU; `cargo xtask golden NETWORK`)

FACTS is a JSON file with the network's name, its full width and our list of its layers; NAME.safetensors is written into
the script's own folder. The networks below are written by hand, in all that follows from the width too. Any other is
torchvision's module, of which the list says only which channels follow the width, because nobody else slims it.
Weights and images come from `fill`, which the tests repeat, so the files contain only results and, as metadata, how they
were made.
It computes in double precision and stores single precision. A network is a chain of kinks and normalizations, so the same
program in single precision is off by up to 1e-2 in a few gradients. For the same reason batch norms shift by about 1.5
and scale by about 0.4, so that few activations are near the kinks of ReLU6.
    logits/train/W-R        logits with batch statistics, for 3 or 8 sub-networks
    logits/calibrated/W-R   logits with statistics averaged over 3 other batches (cumulative, unbiased variance)
    losses                  [3 steps, full + 3 students]
    grad/NAME               gradient of step 0, every n-th number, at most 64 or 256
    weight/NAME             weights after 3 steps, likewise
    grad_norm, weight_norm  Euclidean norms of the whole tensors, in the order of the network
"""

import json
import pathlib
import sys

import torch
import torch.nn.functional as F
import torchvision
from safetensors.torch import save_file

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "testkit/golden"))
from filled import fill

torch.set_default_dtype(torch.float64)

SUBNETS = [(1.0, 32), (1.0, 20), (0.8, 28), (0.6125, 24), (0.5, 32), (0.4, 20), (0.25, 32), (0.25, 20)]
STEPS = [[(0.8123, 24), (0.41, 32), (0.25, 20)], [(0.95, 32), (0.5, 20), (0.25, 28)], [(0.7, 28), (0.3, 24), (0.25, 32)]]
CLASSES, BATCH, SIDE = 10, 16, 32
# How many of SUBNETS are run, and how many numbers of a tensor are kept at most.
ALL, SOME = (1, 256), (3, 64)
MOMENTUM, WEIGHT_DECAY = 0.9, 1e-3


def make_divisible(v, divisor=8):
    new = max(1, int(v + divisor / 2) // divisor * divisor)
    return new + divisor if new < 0.9 * v else new


def depthwise_conv(x, w, stride):
    """Tap by tap: in double precision many times as fast as a convolution in groups."""
    k = w.shape[-1]
    rows, columns = ((side + 2 * (k // 2) - k) // stride + 1 for side in x.shape[2:])
    x = F.pad(x, [k // 2] * 4)
    end_y, end_x = (rows - 1) * stride + 1, (columns - 1) * stride + 1
    taps = [(ky, kx) for ky in range(k) for kx in range(k)]
    return sum(x[:, :, y : y + end_y : stride, z : z + end_x : stride] * w[:, 0, y, z].view(-1, 1, 1) for y, z in taps)


class Net:
    """Layers whose parameters come into being, at the full width, when a network first runs; width is an argument."""

    def __init__(self, network, full):
        self.network, self.full, self.p, self.stats = network, full, {}, {}
        self.forward(torch.zeros(2, 3, SIDE, SIDE), full)

    def forward(self, x, width, mode="train", momentum=None):
        self.width, self.mode, self.momentum = width, mode, momentum
        return self.network(self, x)

    def parameter(self, name, shape, scale, mean):
        if name not in self.p:
            self.p[name] = (fill(1000 + len(self.p), shape) * scale + mean).requires_grad_()
        return self.p[name]

    def conv(self, path, x, base, kernel=1, stride=1, ratio=1, whole=False, depthwise=False, bias=False):
        c, o = x.shape[1], base if whole else int(make_divisible(base * self.width / ratio) * ratio)
        shape = (o, 1 if depthwise else c, kernel, kernel)
        w = self.parameter(f"{path}.weight", shape, (6 / (kernel * kernel * o)) ** 0.5, 0)
        b = self.parameter(f"{path}.bias", (o,), 0.1, 0)[:o] if bias else None
        if depthwise:
            return depthwise_conv(x, w[:o], stride)
        return F.conv2d(x, w[:o, : shape[1]], b, stride, kernel // 2)

    def bn(self, path, x, eps=1e-5):
        c = x.shape[1]
        w, b = self.parameter(f"{path}.weight", (c,), 0.1, 0.4), self.parameter(f"{path}.bias", (c,), 0.3, 1.5)
        if self.mode == "calibrate" and path not in self.stats:
            self.stats[path] = (torch.zeros(c), torch.ones(c))
        mean, var = self.stats[path] if self.mode != "train" else (None, None)
        return F.batch_norm(x, mean, var, w[:c], b[:c], self.mode != "eval", self.momentum or 0.0, eps)

    def linear(self, path, x, out):
        w = self.parameter(f"{path}.weight", (out, x.shape[1]), 0.05, 0)
        return F.linear(x, w[:, : x.shape[1]], self.parameter(f"{path}.bias", (out,), 0.1, 0))

    def sequence(self, path, first, x, *conv, **conv_more):
        """Convolution and batch norm as neighbors in a Sequential."""
        return self.bn(f"{path}.{first + 1}", self.conv(f"{path}.{first}", x, *conv, **conv_more))


def mobilenet_v1(net, x):
    x = F.relu6(net.sequence("features.0", 0, x, 32, 3, 1))
    c, i = 32, 1
    for out, n, s in [(64, 1, 1), (128, 2, 2), (256, 2, 2), (512, 6, 2), (1024, 2, 2)]:
        for j in range(n):
            x = F.relu6(net.sequence(f"features.{i}.body", 0, x, c, 3, s if j == 0 else 1, depthwise=True))
            x = F.relu6(net.sequence(f"features.{i}.body", 3, x, out))
            c, i = out, i + 1
    return net.linear("classifier.0", x.mean((2, 3)), CLASSES)


def mobilenet_v2(net, x):
    x = F.relu6(net.sequence("features.0", 0, x, 32, 3, 1))
    c, i = 32, 1
    blocks = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]
    for t, out, n, s in blocks:
        for j in range(n):
            y, path, stride, k = x, f"features.{i}.body", s if j == 0 else 1, 0
            if t != 1:
                y, k = F.relu6(net.sequence(path, 0, y, c * t, ratio=t)), 3
            y = F.relu6(net.sequence(path, k, y, c * t, 3, stride, ratio=t, depthwise=True))
            y = net.sequence(path, k + 3, y, out)
            x = y + x if j > 0 else y
            c, i = out, i + 1
    x = F.relu6(net.sequence(f"features.{i}", 0, x, 1280, whole=True))
    return net.linear("classifier.0", x.mean((2, 3)), CLASSES)


def resnet(blocks, bottleneck):
    def network(net, x):
        inner = 0.25 if bottleneck else 1
        x = F.relu(net.sequence("features.0", 0, x, 64, 7, 1, ratio=inner))
        x, i = F.max_pool2d(x, 3, 2, 1), 1
        for stage, n in enumerate(blocks):
            c = 64 * 2**stage
            for j in range(n):
                path, stride = f"features.{i}.body", 2 if j == 0 and stage > 0 else 1
                if bottleneck:
                    y = F.relu(net.sequence(path, 0, x, c, ratio=inner))
                    y = F.relu(net.sequence(path, 3, y, c, 3, stride, ratio=inner))
                    y = net.sequence(path, 6, y, 4 * c)
                else:
                    y = F.relu(net.sequence(path, 0, x, c, 3, stride))
                    y = net.sequence(path, 3, y, c, 3)
                if j == 0 and (stage > 0 or bottleneck):
                    x = net.sequence(f"features.{i}.shortcut", 0, x, 4 * c if bottleneck else c, 1, stride)
                x, i = F.relu(y + x), i + 1
        return net.linear("classifier.0", x.mean((2, 3)), CLASSES)

    return network


def wide_resnet(depth, widening):
    def network(net, x):
        x, c = net.conv("conv1", x, 16, 3), 16
        for group in range(3):
            for j in range((depth - 4) // 6):
                path, out = f"block{group + 1}.layer.{j}", 16 * 2**group * widening
                stride = 2 if j == 0 and group > 0 else 1
                a = F.relu(net.bn(f"{path}.bn1", x))
                y = F.relu(net.bn(f"{path}.bn2", net.conv(f"{path}.conv1", a, out, 3, stride)))
                y = net.conv(f"{path}.conv2", y, out, 3)
                x = y + (x if c == out else net.conv(f"{path}.convShortcut", a, out, 1, stride))
                c = out
        x = F.relu(net.bn("bn1", x))
        return net.linear("fc", x.mean((2, 3)), CLASSES)

    return network


def vgg16_bn(net, x):
    i = 0
    for stage, channels in enumerate([[64] * 2, [128] * 2, [256] * 3, [512] * 3, [512] * 3]):
        for c in channels:
            x, i = F.relu(net.sequence("features", i, x, c, 3)), i + 3
        # The first pool is omitted.
        x, i = F.max_pool2d(x, 2) if stage > 0 else x, i + 1
    return net.linear("classifier", x.mean((2, 3)), CLASSES)


class Gated:
    """Inverted residuals with squeeze and excitation, under torchvision's names."""

    def __init__(self, net, eps, squeezed, gate):
        self.net, self.eps, self.squeezed, self.gate = net, eps, squeezed, gate

    def layer(self, path, x, *conv, act=None, **conv_more):
        x = self.net.bn(f"{path}.1", self.net.conv(f"{path}.0", x, *conv, **conv_more), self.eps)
        return act(x) if act else x

    def block(self, path, x, hidden, out, kernel, stride, act, expands, squeeze, squeeze_ratio=1, ratio=1):
        j = 0
        if expands:
            x, j = self.layer(f"{path}.block.0", x, hidden, ratio=ratio, act=act), 1
        x = self.layer(f"{path}.block.{j}", x, hidden, kernel, stride, ratio, depthwise=True, act=act)
        if squeeze:
            j += 1
            y = x.mean((2, 3), keepdim=True)
            y = self.squeezed(self.net.conv(f"{path}.block.{j}.fc1", y, squeeze, ratio=squeeze_ratio, bias=True))
            x = x * self.gate(self.net.conv(f"{path}.block.{j}.fc2", y, hidden, ratio=ratio, bias=True))
        return self.layer(f"{path}.block.{j + 1}", x, out)


def mobilenet_v3_large(net, x):
    gated = Gated(net, 1e-3, F.relu, F.hardsigmoid)
    x, c = gated.layer("features.0", x, 16, 3, 1, act=F.hardswish), 16
    re, hs = F.relu, F.hardswish
    blocks = [(3, 16, 16, 0, re, 1), (3, 64, 24, 0, re, 2), (3, 72, 24, 0, re, 1), (5, 72, 40, 24, re, 2)]
    blocks += [(5, 120, 40, 32, re, 1)] * 2 + [(3, 240, 80, 0, hs, 2), (3, 200, 80, 0, hs, 1)] + [(3, 184, 80, 0, hs, 1)] * 2
    blocks += [(3, 480, 112, 120, hs, 1), (3, 672, 112, 168, hs, 1), (5, 672, 160, 168, hs, 2)] + [(5, 960, 160, 240, hs, 1)] * 2
    for i, (kernel, hidden, out, squeeze, act, stride) in enumerate(blocks, 1):
        y = gated.block(f"features.{i}", x, hidden, out, kernel, stride, act, hidden != c, squeeze)
        x, c = y + x if c == out and stride == 1 else y, out
    x = gated.layer(f"features.{len(blocks) + 1}", x, 960, act=hs)
    x = hs(net.linear("classifier.0", x.mean((2, 3)), 1280))
    return net.linear("classifier.3", x, CLASSES)


def efficientnet_b0(net, x):
    gated = Gated(net, 1e-5, F.silu, torch.sigmoid)
    x, c = gated.layer("features.0", x, 32, 3, 1, act=F.silu), 32
    stages = [(1, 3, 1, 16, 1), (6, 3, 2, 24, 2), (6, 5, 2, 40, 2), (6, 3, 2, 80, 3), (6, 5, 1, 112, 3), (6, 5, 2, 192, 4), (6, 3, 1, 320, 1)]
    for i, (t, kernel, s, out, n) in enumerate(stages, 1):
        for j in range(n):
            stride = s if j == 0 else 1
            y = gated.block(f"features.{i}.{j}", x, c * t, out, kernel, stride, F.silu, t > 1, c // 4, 0.25, t)
            x, c = y + x if j > 0 else y, out
    x = gated.layer("features.8", x, 1280, whole=True, act=F.silu)
    return net.linear("classifier.1", x.mean((2, 3)), CLASSES)


def of_torchvision(name, nodes):
    """torchvision's own module, whose layers take their parameters from `net`, and so have channels for its width."""
    model = torchvision.models.get_model(name, num_classes=CLASSES)
    rules = {node["path"]: node["op"]["conv"] for node in nodes if "conv" in node["op"]}
    first = next(module for module in model.modules() if getattr(module, "stride", 1) in (2, (2, 2)))
    assert isinstance(first, torch.nn.Conv2d), "without its stride a pool is another one: write the network by hand"
    first.stride = (1, 1)
    net = None

    def bind(path, module):
        if isinstance(module, torch.nn.Conv2d):
            rule, kernel, stride = rules[path]["out"], module.kernel_size[0], module.stride[0]
            bias = module.bias is not None
            assert (module.padding, module.dilation) == ((kernel // 2,) * 2, (1, 1)), path
            more = {"ratio": rule["ratio"], "whole": not rule["slim"], "depthwise": module.groups > 1, "bias": bias}
            module.forward = lambda x: net.conv(path, x, module.out_channels, kernel, stride, **more)
        elif isinstance(module, torch.nn.BatchNorm2d):
            module.forward = lambda x: net.bn(path, x, module.eps)
        elif isinstance(module, torch.nn.Linear):
            module.forward = lambda x: net.linear(path, x, module.out_features)
        elif "Drop" in type(module).__name__ or "StochasticDepth" in type(module).__name__:
            module.forward = lambda x: x

    for path, module in model.named_modules():
        bind(path, module)

    def network(of, x):
        nonlocal net
        net = of
        return model(x)

    return network


# For each network that is written by hand: its full width, how many sub-networks and numbers of a tensor are kept, and the
# learning rate.
# The full width of large networks is narrow, and their sub-networks are narrower accordingly, so that a test takes only
# seconds. The sums of a ResNet grow from block to block, and so do the gradients, so it would diverge at the learning rate
# of the others. The first stride-2 layer has stride 1, except in wide_resnet10_2.
BY_HAND = {
    "mobilenet_v1": (mobilenet_v1, 1.0, ALL, 0.01),
    "mobilenet_v2": (mobilenet_v2, 1.0, ALL, 0.01),
    "mobilenet_v3_large": (mobilenet_v3_large, 1.0, SOME, 0.01),
    "efficientnet_b0": (efficientnet_b0, 1.0, SOME, 0.01),
    "resnet18": (resnet([2, 2, 2, 2], False), 0.5, SOME, 0.001),
    "resnet50": (resnet([3, 4, 6, 3], True), 0.25, SOME, 0.001),
    "wide_resnet10_2": (wide_resnet(10, 2), 1.0, SOME, 0.01),
    "vgg16_bn": (vgg16_bn, 0.25, SOME, 0.01),
}


def resize(x, r):
    return x if r == SIDE else F.interpolate(x, (r, r), mode="bilinear", align_corners=True)


def images(seed):
    return fill(seed, (BATCH, 3, SIDE, SIDE)) * 1.7


def some(tensor, n):
    flat = tensor.detach().reshape(-1)
    return flat[:: max(1, flat.numel() // n)][:n].clone()


def problem(facts):
    """Network, full width, how much is kept, and learning rate."""
    if facts["name"] in BY_HAND:
        return BY_HAND[facts["name"]]
    return of_torchvision(facts["name"], facts["lists"]["main"]["nodes"]), facts["full"], SOME, 0.01


def make(facts):
    name = facts["name"]
    network, full, (subnet_step, n), lr = problem(facts)
    out, net = {}, Net(network, full)
    with torch.no_grad():
        for w, r in SUBNETS[::subnet_step]:
            w = round(w * full, 6)
            out[f"logits/train/{w}-{r}"] = net.forward(resize(images(1), r), w)
            net.stats = {}
            for t in range(3):
                net.forward(resize(images(10 + t), r), w, "calibrate", 1 / (t + 1))
            out[f"logits/calibrated/{w}-{r}"] = net.forward(resize(images(1), r), w, "eval")
    labels = torch.arange(BATCH) * 7 % CLASSES
    decays = lambda p: (p.dim() == 4 and p.shape[1] != 1) or p.dim() == 2
    groups = [{"params": [p], "weight_decay": WEIGHT_DECAY if decays(p) else 0} for p in net.p.values()]
    optimizer = torch.optim.SGD(groups, lr, MOMENTUM, nesterov=True)
    losses = []
    for step, students in enumerate(STEPS):
        optimizer.zero_grad()
        x = images(20 + step)
        logits = net.forward(x, full)
        loss = F.cross_entropy(logits, labels)
        loss.backward()
        losses.append(loss.item())
        teacher = F.softmax(logits.detach(), 1)
        for w, r in students:
            loss = F.kl_div(F.log_softmax(net.forward(resize(x, r), round(w * full, 6)), 1), teacher, reduction="batchmean")
            loss.backward()
            losses.append(loss.item())
        if step == 0:
            out |= {f"grad/{path}": some(p.grad, n) for path, p in net.p.items()}
            out["grad_norm"] = torch.stack([p.grad.norm() for p in net.p.values()])
        optimizer.step()
    out["losses"] = torch.tensor(losses).reshape(len(STEPS), -1)
    out |= {f"weight/{path}": some(p, n) for path, p in net.p.items()}
    out["weight_norm"] = torch.stack([p.detach().norm() for p in net.p.values()])
    out = {key: value.float() for key, value in out.items()}
    made = {"full": str(full), "numbers": str(n), "lr": str(lr)}
    save_file(out, pathlib.Path(__file__).parent / f"{name}.safetensors", made)
    print(name, out["losses"])


make(json.loads(pathlib.Path(sys.argv[1]).read_text()))
