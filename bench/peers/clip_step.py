"""Times plain training steps of pytorchvideo's X3D in PyTorch, tuned the way an experienced user would.

usage: clip_step.py THREADS BATCH CLASSES FRAMES SIDE     (the driver preloads jemalloc)
needs torch 2.11.0 and pytorchvideo 0.1.5. It uses channels-last memory and foreach SGD.
"""
import sys
import time

import torch
import torch.nn.functional as F
from pytorchvideo.models.x3d import create_x3d

import protocol


def optimizer_of(model):
    decayed = [p for p in model.parameters() if p.dim() == 5 and p.shape[1] != 1]
    free = [p for p in model.parameters() if not any(p is d for d in decayed)]
    groups = [{"params": decayed, "weight_decay": 1e-4}, {"params": free, "weight_decay": 0.0}]
    return torch.optim.SGD(groups, lr=0.01, momentum=0.9, nesterov=True, foreach=True)


def main(threads, batch, classes, frames, side):
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    torch.manual_seed(0)
    model = create_x3d(
        input_clip_length=frames,
        input_crop_size=side,
        model_num_class=classes,
        width_factor=2.0,
        depth_factor=2.2,
        dropout_rate=0.0,
        head_activation=None,
    )
    model = model.to(memory_format=torch.channels_last_3d).train()
    optimizer = optimizer_of(model)
    clips = torch.rand(batch, 3, frames, side, side) * 2 - 1
    clips = clips.contiguous(memory_format=torch.channels_last_3d)
    labels = torch.arange(batch) * 37 % classes
    for students in protocol.plans():
        assert not students, "only plain steps"
        start = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        F.cross_entropy(model(clips), labels).backward()
        optimizer.step()
        protocol.report(time.perf_counter() - start)


main(*map(int, sys.argv[1:]))
