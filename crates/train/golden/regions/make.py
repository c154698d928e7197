"""Computes what torchvision cuts out of feature maps, and the losses of its two-stage detectors, with which ours are compared.

    python make.py      (torch 2.11.0, torchvision 0.26.0, numpy)

Files are written into the script's own folder. Maps come from `fill`, which the test repeats. It computes in double precision.

`cut.json`, for two images of 128 x 192 pixels:
    regions           boxes in each image
    maps              heights and widths
    squares           every n-th number of the regions, at most 256
    gradients         of every map, of the sum of squares with upstream numbers from `fill`; every n-th, at most 256

`losses.json`, of `fasterrcnn_mobilenet_v3_large_fpn` for three images of 64 x 64 pixels, so few anchors and regions that all are
learned from, and none are drawn at random. The second layer behind regions is the only one: what a region is answered is a linear
function of it, of which the numbers come from `fill` too.
    boxes, labels     of every image; the second has no objects
    losses            of the proposals' logits and boxes, and of the regions' classes and boxes
    n                 anchors and regions that are learned from, with and without an object
    gradients         of every map, every n-th number of the row-major gradient, at most 256
    sums              of the absolute values of the gradient of every map
    proposals         of the first image, before objects are added

`mask_losses.json`, the same with a head that draws masks, which are a linear function of every cell of a region. Pixels belong to an
object where numbers from `fill` are above -0.2.
    mask_loss         of the masks; `losses` and `gradients` are those of all losses together

`detections.json`, of `fasterrcnn_mobilenet_v3_large_fpn` as a whole, with the statistics of the batch, for two images of 96 x 96
pixels from `fill`. Weights are `values` of the testkit; those of the layers that give boxes and objects are smaller, so that
boxes and scores differ.
    images            for each, the boxes, classes and scores of what is found, surest first

`mask_detections.json`, the same with masks: MaskRCNN around the same backbone.
    images            for each, also the masks as COCO's compressed runs
"""

import json
import pathlib
import sys

import numpy
import torch
import torchvision
from pycocotools import mask as coco
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import MultiScaleRoIAlign

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.resolve().parents[2] / "testkit/golden"))
from filled import every, fill, values

torch.set_default_dtype(torch.float64)

CHANNELS = 5
SIDE = 7
IMAGE = (128, 192)
STRIDES = (4, 8, 16, 32)
REGIONS = [
    [[0, 0, 191, 127], [10.5, 20.25, 14, 30], [100, 3, 180.5, 90], [150, 100, 192, 128], [7, 7, 7.5, 100]],
    [[-20, -20, 120, 120], [33, 44, 55, 66], [0, 0, 1, 1]],
]


def cut():
    sizes = [[side // stride for side in IMAGE] for stride in STRIDES]
    maps = {str(i): fill(70 + i, [2, CHANNELS, *size]).requires_grad_() for i, size in enumerate(sizes)}
    pooler = MultiScaleRoIAlign(list(maps), SIDE, 2)
    squares = pooler(maps, [torch.tensor(regions, dtype=torch.float64) for regions in REGIONS], [IMAGE] * 2)
    (squares * fill(80, squares.shape)).sum().backward()
    return {
        "image": IMAGE,
        "side": SIDE,
        "regions": REGIONS,
        "maps": sizes,
        "squares": every(squares),
        "gradients": [every(map.grad) for map in maps.values()],
    }


CLASSES = 4
LOSS_SIDE = 64
DETECTION_SIDE = 96
LOSS_SIDES = [2, 2, 1]
FEATURES = 6
BOXES = [
    [[3, 2, 40, 44], [20, 20, 63, 60], [30.5, 5.25, 52, 20]],
    [],
    [[2, 40, 28, 63], [0, 0, 64, 64]],
]
LABELS = [[1, 2, 3], [], [2, 2]]


class Answers(torch.nn.Module):
    """In the place of the head's layers: scores and codes are sums of a region's numbers."""

    def __init__(self):
        super().__init__()
        numbers = FEATURES * SIDE * SIDE
        self.scores = fill(97, [CLASSES, numbers]) * 0.2
        self.codes = fill(98, [CLASSES * 4, numbers]) * 0.2

    def forward(self, squares):
        flat = squares.flatten(1)
        return flat @ self.scores.T, flat @ self.codes.T


class Masks(torch.nn.Module):
    """In the place of the head that draws masks: logits are sums of a cell's numbers."""

    def __init__(self):
        super().__init__()
        self.weight = fill(99, [CLASSES, FEATURES, 1, 1])

    def forward(self, squares):
        return torch.nn.functional.conv2d(squares, self.weight)


def build(with_masks):
    detection = torchvision.models.detection
    model = detection.fasterrcnn_mobilenet_v3_large_fpn(weights=None, weights_backbone=None, num_classes=CLASSES)
    if not with_masks:
        return model
    anchors = model.rpn.anchor_generator
    return detection.MaskRCNN(model.backbone, CLASSES, rpn_anchor_generator=anchors, rpn_score_thresh=0.05)


def losses(with_masks):
    model = build(with_masks)
    model.train()
    n = len(BOXES)
    features = {
        name: fill(90 + i, [n, FEATURES, side, side]).requires_grad_()
        for i, (name, side) in enumerate(zip(("0", "1", "pool"), LOSS_SIDES))
    }
    objects = [(2 * fill(100 + i, [n, 15, side, side])).requires_grad_() for i, side in enumerate(LOSS_SIDES)]
    codes = [(0.5 * fill(110 + i, [n, 60, side, side])).requires_grad_() for i, side in enumerate(LOSS_SIDES)]
    del model.rpn.head
    model.rpn.head = lambda _: (objects, codes)
    heads = model.roi_heads
    heads.box_head, heads.box_predictor = torch.nn.Identity(), Answers()
    if with_masks:
        heads.mask_head, heads.mask_predictor = torch.nn.Identity(), Masks()
    targets = [
        {"boxes": torch.tensor(boxes, dtype=torch.float64).reshape(-1, 4), "labels": torch.tensor(labels, dtype=torch.int64)}
        for boxes, labels in zip(BOXES, LABELS)
    ]
    if with_masks:
        for image, target in enumerate(targets):
            pixels = fill(200 + image, [len(target["boxes"]), LOSS_SIDE, LOSS_SIDE])
            target["masks"] = (pixels > -0.2).to(torch.uint8)
    images = ImageList(torch.zeros(n, 3, LOSS_SIDE, LOSS_SIDE), [(LOSS_SIDE, LOSS_SIDE)] * n)
    counts = []
    for sampler in (model.rpn.fg_bg_sampler, heads.fg_bg_sampler):
        counts.append(count_samples(sampler))
    model.rpn.fg_bg_sampler, heads.fg_bg_sampler = counts
    proposals, of_proposals = model.rpn(images, features, targets)
    _, of_regions = heads(features, proposals, images.image_sizes, targets)
    names = {"loss_objectness": of_proposals, "loss_rpn_box_reg": of_proposals, "loss_classifier": of_regions, "loss_box_reg": of_regions}
    parts = [of[name] for name, of in names.items()]
    all_parts = parts + ([of_regions["loss_mask"]] if with_masks else [])
    sum(all_parts).backward()
    extra = {"mask_loss": all_parts[-1].item()} if with_masks else {}
    maps = {"features": [features["0"], features["1"]], "objects": objects, "codes": codes}
    return extra | {
        "classes": CLASSES,
        "side": LOSS_SIDE,
        "sides": LOSS_SIDES,
        "features": FEATURES,
        "boxes": BOXES,
        "labels": LABELS,
        "losses": [part.item() for part in parts],
        "n": [sampler.counted for sampler in counts],
        "gradients": {
            f"{name}.{i}": every(m.grad) if m.grad is not None else [0.0] * len(every(m)) for name, of in maps.items() for i, m in enumerate(of)
        },
        "sums": {f"{name}.{i}": m.grad.abs().sum().item() if m.grad is not None else 0.0 for name, of in maps.items() for i, m in enumerate(of)},
        "proposals": proposals[0].tolist(),
    }


def count_samples(sampler):
    """The sampler, which counts what it takes, and refuses to choose at random."""

    def counting(labels):
        chosen = sampler(labels)
        counting.counted = [sum(int(mask.sum()) for mask in masks) for masks in chosen]
        for label, found, background in zip(labels, *chosen):
            assert int(found.sum()) == int((label >= 1).sum()) and int(background.sum()) == int((label == 0).sum())
        return chosen

    return counting


def runs(mask):
    pixels = (mask[0] > 0.5).numpy().astype(numpy.uint8)
    return coco.encode(numpy.asfortranarray(pixels))["counts"].decode()


def detections(with_masks):
    model = build(with_masks)
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for idx, path in enumerate(sorted(parameters)):
            factor = 0.05 if "bbox_pred" in path else 0.1 if "cls_logits" in path else 1
            parameters[path].copy_(factor * values(path, parameters[path], 1000 + idx))
    model.eval()
    model.backbone.train()
    side = (DETECTION_SIDE, DETECTION_SIDE)
    pixels = fill(7, [2, 3, *side]) * 1.7
    with torch.no_grad():
        features = model.backbone(pixels)
        images = ImageList(pixels, [side] * 2)
        proposals, _ = model.rpn(images, features)
        found, _ = model.roi_heads(features, proposals, images.image_sizes)
        found = model.transform.postprocess(found, [side] * 2, [side] * 2)
    images = [{key: one[key].tolist() for key in ("boxes", "labels", "scores")} for one in found]
    if with_masks:
        for image, one in zip(images, found):
            image["masks"] = [runs(mask) for mask in one["masks"]]
    return {
        "classes": CLASSES,
        "side": DETECTION_SIDE,
        "n_proposals": [len(boxes) for boxes in proposals],
        "images": images,
    }


(HERE / "cut.json").write_text(json.dumps(cut()) + "\n")
for prefix, with_masks in (("", False), ("mask_", True)):
    (HERE / f"{prefix}losses.json").write_text(json.dumps(losses(with_masks)) + "\n")
    (HERE / f"{prefix}detections.json").write_text(json.dumps(detections(with_masks)) + "\n")
