"""Computes the losses of torchvision's SSD with their gradients, with which ours are compared.

    python make.py      (torch 2.11.0, torchvision 0.26.0, numpy)

`ssd.json` is written into the script's own folder. Maps come from `fill`, which the test repeats.
It computes in double precision.
    boxes, labels     of three images of 96 x 96 pixels; the second has no objects
    sides             of the maps
    loss              sum of the losses of scores and boxes, and each of them
    gradients         of every map, every n-th number of the row-major gradient, at most 64
    sums              of the absolute values of the gradient of every map
"""

import json
import pathlib
import sys

import torch
from torchvision.models.detection import ssdlite320_mobilenet_v3_large
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import boxes as box_ops

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "testkit/golden"))
from filled import fill

torch.set_default_dtype(torch.float64)

CLASSES = 4
SIDE = 96
SIDES = [6, 3, 2, 1, 1, 1]
BOXES = [
    [[10, 12, 40, 50], [30, 30, 90, 80], [60.5, 5.25, 72, 20], [0, 0, 96, 96], [32, 30, 91, 81]],
    [],
    [[2, 70, 12, 95], [44, 44, 52, 52]],
]
LABELS = [[1, 2, 3, 1, 3], [], [2, 2]]


def main():
    model = ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=CLASSES)
    n = len(BOXES)
    maps = {"scores": [], "boxes": []}
    for kind, (name, per_box) in enumerate([("scores", CLASSES), ("boxes", 4)]):
        for idx, side in enumerate(SIDES):
            shape = [n, 6 * per_box, side, side]
            maps[name].append((2 * fill(50 + 10 * kind + idx, shape)).requires_grad_())

    def listed(maps, columns):
        # As SSDScoringHead rearranges them.
        each = [m.view(n, -1, columns, *m.shape[2:]).permute(0, 3, 4, 1, 2).reshape(n, -1, columns) for m in maps]
        return torch.cat(each, dim=1)

    outputs = {"cls_logits": listed(maps["scores"], CLASSES), "bbox_regression": listed(maps["boxes"], 4)}
    images = ImageList(torch.zeros(n, 3, SIDE, SIDE), [(SIDE, SIDE)] * n)
    anchors = model.anchor_generator(images, maps["scores"])
    targets = [
        {"boxes": torch.tensor(boxes).reshape(-1, 4), "labels": torch.tensor(labels, dtype=torch.int64)}
        for boxes, labels in zip(BOXES, LABELS)
    ]
    matched = [
        model.proposal_matcher(box_ops.box_iou(target["boxes"], anchor))
        if len(target["boxes"])
        else torch.full((len(anchor),), -1)
        for target, anchor in zip(targets, anchors)
    ]
    losses = model.compute_loss(targets, outputs, anchors, matched)
    loss = losses["classification"] + losses["bbox_regression"]
    loss.backward()
    gradients, sums = {}, {}
    for name, all_maps in maps.items():
        for idx, m in enumerate(all_maps):
            numbers = m.grad.flatten()
            gradients[f"{name}.{idx}"] = numbers[:: max(1, len(numbers) // 64)][:64].tolist()
            sums[f"{name}.{idx}"] = numbers.abs().sum().item()
    golden = {
        "classes": CLASSES,
        "side": SIDE,
        "sides": SIDES,
        "boxes": BOXES,
        "labels": LABELS,
        "loss": [loss.item(), losses["classification"].item(), losses["bbox_regression"].item()],
        "n_with_object": int(sum((m >= 0).sum() for m in matched)),
        "gradients": gradients,
        "sums": sums,
    }
    (pathlib.Path(__file__).parent / "ssd.json").write_text(json.dumps(golden) + "\n")
    print(golden["loss"], golden["n_with_object"])


main()
