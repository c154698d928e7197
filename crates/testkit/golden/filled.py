"""What scripts that make golden files have in common: numbers that tests repeat, and how a torchvision network is described.

Scripts import it from `crates/testkit/golden`; it needs torch and numpy.
"""

import numpy as np
import torch


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


def values(name, parameter, seed):
    """Numbers for a parameter of a network, with which maps and features keep their scale."""
    shape = tuple(parameter.shape)
    if len(shape) == 4:
        scale, mean = (6 / (shape[2] * shape[3] * shape[0])) ** 0.5, 0
    elif len(shape) == 2:
        # Of a linear layer.
        scale, mean = (6 / shape[1]) ** 0.5, 0
    elif name.endswith("weight"):
        scale, mean = 0.1, 0.4
    else:
        # A shift of a batch norm or a bias.
        scale, mean = 0.3, 0.5
    return fill(seed, shape) * scale + mean


def conv_macs(model, run):
    """Multiply-accumulates of the convolutions of `model` while `run` runs it on one image."""
    macs = 0

    def hook(module, inputs, output):
        nonlocal macs
        fan_in = inputs[0].shape[1] // module.groups
        macs += output[0].numel() * module.kernel_size[0] * module.kernel_size[1] * fan_in

    handles = [m.register_forward_hook(hook) for m in model.modules() if isinstance(m, torch.nn.Conv2d)]
    with torch.no_grad():
        run()
    for handle in handles:
        handle.remove()
    return macs


def every(output):
    """At most 256 numbers of a tensor, at equal distances."""
    numbers = output.flatten()
    return numbers[:: max(1, len(numbers) // 256)][:256].tolist()
