"""Times plain steps of one of torchvision's two-stage detectors in PyTorch, tuned the way an experienced user would.

usage: detect_step.py THREADS NETWORK BATCH CLASSES SIDE [DEVICE]     (the driver preloads jemalloc)
Backbone, proposals, heads and losses are torchvision's, unedited. Images are normalized squares, so its resizing has nothing to
do and is left out. It uses channels-last memory and foreach SGD. Steps are small, so that the number of regions stays as it is.
"""
import sys
import time

import torch
from torchvision.models import detection
from torchvision.models.detection.image_list import ImageList

import protocol


def optimizer_of(model):
    decayed = [p for p in model.parameters() if p.dim() > 1]
    free = [p for p in model.parameters() if p.dim() == 1]
    groups = [{"params": decayed, "weight_decay": 1e-4}, {"params": free, "weight_decay": 0.0}]
    return torch.optim.SGD(groups, lr=1e-6, momentum=0.9, nesterov=True, foreach=True)


def made_up_targets(batch, classes, side, device):
    """Two objects in every image, which fill their boxes; the same as ours."""
    shares = torch.tensor([[0.1, 0.2, 0.4, 0.5], [0.5, 0.3, 0.9, 0.9]])
    targets = []
    for image in range(batch):
        boxes = shares * side
        masks = torch.zeros(2, side, side, dtype=torch.uint8)
        for mask, (left, top, right, bottom) in zip(masks, boxes.round().int().tolist()):
            mask[top:bottom, left:right] = 1
        labels = torch.tensor([1 + (image * 2 + idx) % (classes - 1) for idx in range(2)])
        targets.append({"boxes": boxes.to(device), "labels": labels.to(device), "masks": masks.to(device)})
    return targets


def step(model, optimizer, images, targets):
    optimizer.zero_grad(set_to_none=True)
    features = model.backbone(images.tensors)
    proposals, of_proposals = model.rpn(images, features, targets)
    _, of_regions = model.roi_heads(features, proposals, images.image_sizes, targets)
    sum([*of_proposals.values(), *of_regions.values()]).backward()
    optimizer.step()


def main(threads, network, batch, classes, side, device="cpu"):
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    torch.manual_seed(0)
    model = getattr(detection, network)(weights=None, weights_backbone=None, num_classes=classes)
    model = model.to(device, memory_format=torch.channels_last).train()
    optimizer = optimizer_of(model)
    pixels = (torch.rand(batch, 3, side, side) * 2 - 1).to(device, memory_format=torch.channels_last)
    images = ImageList(pixels, [(side, side)] * batch)
    targets = made_up_targets(batch, classes, side, device)
    for students in protocol.plans():
        if students:
            sys.exit("only plain steps are compared")
        start = time.perf_counter()
        step(model, optimizer, images, targets)
        if device != "cpu":
            torch.cuda.synchronize()
        protocol.report(time.perf_counter() - start)


threads, name, *sizes = sys.argv[1:]
main(int(threads), name, *map(int, sizes[:3]), *sizes[3:])
