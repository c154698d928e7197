"""Times convolutions of clips in PyTorch as they are and as those of images, forward and backward, on one thread.

usage: clip_convolutions.py      (torch 2.11.0)
A kernel without taps along time sees frames as images; one with taps along time alone sees clips as images whose columns are
the positions of a frame. All tensors are channels-last. Each pair takes turns for ROUNDS rounds; medians are printed.
"""

import statistics
import time

import torch

ROUNDS = 9
N, FRAMES = 4, 8


def last(x):
    return x.contiguous(memory_format=torch.channels_last_3d if x.dim() == 5 else torch.channels_last)


def seconds(x, weight, convolution):
    x, weight = x.requires_grad_(True), weight.requires_grad_(True)
    start = time.perf_counter()
    convolution(x, weight).sum().backward()
    taken = time.perf_counter() - start
    x.grad = weight.grad = None
    return taken


def case(name, channels_in, channels_out, kernel, side, groups=1):
    padding = tuple(taps // 2 for taps in kernel)
    clip = last(torch.randn(N, channels_in, FRAMES, side, side))
    weight = torch.randn(channels_out, channels_in // groups, *kernel)
    if kernel[0] == 1:
        image, flat = torch.randn(N * FRAMES, channels_in, side, side), weight[:, :, 0].clone()
        flat_padding = padding[1:]
    else:
        image, flat = torch.randn(N, channels_in, FRAMES, side * side), weight[..., 0].clone()
        flat_padding = padding[:2]
    image = last(image)
    programs = [
        (clip, weight, lambda x, w: torch.conv3d(x, w, padding=padding, groups=groups)),
        (image, flat, lambda x, w: torch.conv2d(x, w, padding=flat_padding, groups=groups)),
    ]
    times = [[seconds(*program) for program in programs] for _ in range(ROUNDS + 2)][2:]
    three, two = (statistics.median(column) * 1e3 for column in zip(*times))
    print(f"{name:<36} {three:8.1f} ms {two:8.1f} ms {three / two:6.2f}")


torch.set_num_threads(1)
print(f"{'convolution':<36} {'as a clip':>11} {'as images':>11}  ratio")
case("1x1x1, 96 to 48 channels, 40 px", 96, 48, (1, 1, 1), 40)
case("1x3x3, 64 to 64 channels, 56 px", 64, 64, (1, 3, 3), 56)
case("3x1x1, 64 to 64 channels, 56 px", 64, 64, (3, 1, 1), 56)
case("5x1x1 channel-wise, 24 channels, 80 px", 24, 24, (5, 1, 1), 80, groups=24)
