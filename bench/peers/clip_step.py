"""Times plain training steps of pytorchvideo's X3D or SlowFast in PyTorch, tuned the way an experienced user would.

usage: clip_step.py THREADS NETWORK BATCH CLASSES FRAMES SIDE     (the driver preloads jemalloc)
needs torch 2.11.0 and pytorchvideo 0.1.5. It uses channels-last memory and foreach SGD.
"""
import sys
import time

import torch
import torch.nn.functional as F
from pytorchvideo.models.slowfast import create_slowfast
from pytorchvideo.models.x3d import create_x3d

import protocol

# What the Fast pathway reads beside the Slow one.
FAST_FRAMES = 32


def optimizer_of(model):
    decayed = [p for p in model.parameters() if p.dim() == 5 and p.shape[1] != 1]
    free = [p for p in model.parameters() if not any(p is d for d in decayed)]
    groups = [{"params": decayed, "weight_decay": 1e-4}, {"params": free, "weight_decay": 0.0}]
    return torch.optim.SGD(groups, lr=0.01, momentum=0.9, nesterov=True, foreach=True)


def network(name, classes, frames, side):
    if name == "slowfast_r50_4x16":
        pools = ((frames, side // 32, side // 32), (FAST_FRAMES, side // 32, side // 32))
        return create_slowfast(
            model_num_class=classes,
            dropout_rate=0,
            slowfast_fusion_conv_kernel_size=(5, 1, 1),
            slowfast_fusion_conv_stride=(8, 1, 1),
            head_pool_kernel_sizes=pools,
        )
    return create_x3d(
        input_clip_length=frames,
        input_crop_size=side,
        model_num_class=classes,
        width_factor=2.0,
        depth_factor=2.2,
        dropout_rate=0.0,
        head_activation=None,
    )


def clips(batch, frames, side):
    numbers = torch.rand(batch, 3, frames, side, side) * 2 - 1
    return numbers.contiguous(memory_format=torch.channels_last_3d)


def main(threads, name, batch, classes, frames, side):
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    torch.manual_seed(0)
    model = network(name, classes, frames, side)
    model = model.to(memory_format=torch.channels_last_3d).train()
    optimizer = optimizer_of(model)
    if name.startswith("slowfast"):
        inputs = [clips(batch, frames, side), clips(batch, FAST_FRAMES, side)]
    else:
        inputs = clips(batch, frames, side)
    labels = torch.arange(batch) * 37 % classes
    for students in protocol.plans():
        assert not students, "only plain steps"
        start = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        # SlowFast writes into the list.
        given = list(inputs) if isinstance(inputs, list) else inputs
        F.cross_entropy(model(given), labels).backward()
        optimizer.step()
        protocol.report(time.perf_counter() - start)


threads, name, *sizes = sys.argv[1:]
main(int(threads), name, *map(int, sizes))
