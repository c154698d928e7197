"""Writes what torchvision (0.26.0) answers for boxes that the tests draw too (`../drawn.py`).

    python make.py

All files are JSON: anchors.json (base anchors; grids, of which every 97th box is kept), coder.json, matcher.json, nms.json,
proposals.json, balanced.json, detections.json,
roi_align.json (some of the numbers, and of the gradients of the maps), project.json (what should be drawn in regions) and paste.json
(sums of scanlines, and the mask above one half as compressed runs).
Coordinates lie on coarse grids, so that overlaps and scores are often equal.
"""

import json
import pathlib
import sys

import numpy
import torch
from pycocotools import mask as coco
from torchvision.models.detection import _utils, roi_heads, rpn, ssd
from torchvision.models.detection.anchor_utils import AnchorGenerator, DefaultBoxGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import batched_nms, box_iou, nms
from torchvision.ops.poolers import LevelMapper, MultiScaleRoIAlign

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from drawn import Stream  # noqa: E402

RATIOS = (0.5, 1.0, 2.0)
SIZES = (32, 64, 128, 256, 512)


def write(name, value):
    lines = ",\n".join(f"{json.dumps(key)}:{json.dumps(part, separators=(',', ':'))}" for key, part in value.items())
    (HERE / f"{name}.json").write_text(f"{{\n{lines}\n}}\n")


def draw_boxes(stream, n, side, step):
    """Boxes in a square of a side, with corners on multiples of a step."""
    cells = side // step
    boxes = []
    for _ in range(n):
        left, top = stream.between(0, cells - 1), stream.between(0, cells - 1)
        right, bottom = stream.between(left + 1, cells), stream.between(top + 1, cells)
        boxes.append([left * step, top * step, right * step, bottom * step])
    return torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)


def draw_numbers(stream, n, largest):
    """Numbers from -largest to largest, in steps of 1/64 of it."""
    return torch.tensor([stream.between(-64, 64) * largest / 64 for _ in range(n)], dtype=torch.float32)


def grid(generator, image, maps):
    images = ImageList(torch.zeros(1, 3, *image), [image])
    boxes = generator(images, [torch.zeros(1, 1, *size) for size in maps])[0]
    return {"image": image, "maps": maps, "n": len(boxes), "boxes": boxes[::97].tolist()}


def anchors():
    fpn = AnchorGenerator(tuple((size,) for size in SIZES), (RATIOS,) * 5)
    mobile = AnchorGenerator((SIZES,) * 3, (RATIOS,) * 3)
    ssdlite = DefaultBoxGenerator([[2, 3] for _ in range(6)], min_ratio=0.2, max_ratio=0.95)
    maps = [[1 + (side - 1) // 2**level for side in (96, 160)] for level in (2, 3, 4, 5, 6)]
    return {
        "base_fpn": [base.tolist() for base in fpn.cell_anchors],
        "base_mobile": mobile.cell_anchors[0].tolist(),
        "fpn": grid(fpn, [96, 160], maps),
        "mobile": grid(mobile, [96, 160], [[3, 5], [3, 5], [2, 3]]),
        "ssdlite": grid(ssdlite, [320, 320], [[20, 20], [10, 10], [5, 5], [3, 3], [2, 2], [1, 1]]),
        "ssdlite_oblong": grid(ssdlite, [64, 96], [[4, 6], [2, 3], [1, 2], [1, 1], [1, 1], [1, 1]]),
    }


def coder():
    stream = Stream(1)
    objects, boxes = draw_boxes(stream, 60, 512, 1), draw_boxes(stream, 60, 512, 1)
    codes = draw_numbers(stream, 240, 6.0).reshape(60, 4)
    answers = {}
    for name, weights in (("regions", (10.0, 10.0, 5.0, 5.0)), ("anchors", (1.0, 1.0, 1.0, 1.0))):
        box_coder = _utils.BoxCoder(weights)
        answers[f"{name}_encoded"] = box_coder.encode_single(objects, boxes).tolist()
        answers[f"{name}_decoded"] = box_coder.decode_single(codes, boxes).tolist()
    levels = LevelMapper(2, 5)
    answers["levels"] = levels([torch.cat([boxes, boxes * 0.25])]).tolist()
    answers["level_edges"] = levels([torch.tensor([[0.0, 0.0, side, side] for side in (112, 111.9, 224, 223.9, 448, 1, 5000)])]).tolist()
    return answers


def matcher():
    answers = {"anchors": [], "regions": [], "ssd": []}
    for case in range(20):
        stream = Stream(100 + case)
        # Cases with a small square have many ties; in a large one some objects overlap nothing.
        side = (32, 512)[case % 2]
        objects = draw_boxes(stream, stream.between(1, 6), side, 8)
        boxes = draw_boxes(stream, 60, side, 8)
        quality = box_iou(objects, boxes)
        answers["anchors"].append(_utils.Matcher(0.7, 0.3, allow_low_quality_matches=True)(quality).tolist())
        answers["regions"].append(_utils.Matcher(0.5, 0.5)(quality).tolist())
        answers["ssd"].append(_utils.SSDMatcher(0.5)(quality).tolist())
    return answers


def suppress():
    answers = {"nms": [], "few": [], "many": []}
    for case in range(12):
        stream = Stream(200 + case)
        boxes = draw_boxes(stream, 80, 64, 4)
        scores = draw_numbers(stream, 80, 1.0)
        threshold = (0.5, 0.7, 0.3)[case % 3]
        answers["nms"].append(nms(boxes, scores, threshold).tolist())
    for name, n in (("few", 900), ("many", 1400)):
        stream = Stream(300 + n)
        # Odd steps, so that offsets of the coordinates round.
        boxes = draw_boxes(stream, n, 300, 3) / 7
        scores = draw_numbers(stream, n, 1.0)
        groups = torch.tensor([stream.between(0, 79) for _ in range(n)])
        kept = batched_nms(boxes, scores, groups, 0.5).tolist()
        # Above 1000 boxes torchvision ends with a sort that leaves the order of equal scores open: ours is that of the boxes.
        answers[name] = sorted(kept, key=lambda i: (-scores[i].item(), i)) if name == "many" else kept
    return answers


def proposals():
    stream = Stream(400)
    sizes = [120, 40, 9]
    boxes = [draw_boxes(stream, n, 96, 4) - 8 for n in sizes]
    # Each score occurs once: which of equal scores are taken is not defined.
    objectness = [draw_numbers(stream, n, 1.0) * 3 + torch.arange(n) / 4096 for n in sizes]
    network = rpn.RegionProposalNetwork(None, None, 0.7, 0.3, 256, 0.5, {"training": 60, "testing": 30}, {"training": 50, "testing": 25}, 0.7)
    answers = {}
    for name, training, score in (("training", True, 0.0), ("testing", False, 0.6)):
        network.train(training)
        network.score_thresh = score
        found, scores = network.filter_proposals(torch.cat(boxes)[None], torch.cat(objectness)[None], [(80, 70)], sizes)
        answers[name] = {"boxes": found[0].tolist(), "scores": scores[0].tolist()}
    return answers


def balanced():
    # So few boxes that all are taken: which of more are taken is random.
    answers = {"anchors": [], "regions": []}
    network = rpn.RegionProposalNetwork(None, None, 0.7, 0.3, 256, 0.5, {}, {}, 0.7)
    heads = roi_heads.RoIHeads(None, None, None, 0.5, 0.5, 512, 0.25, None, 0.05, 0.5, 100)
    for case in range(12):
        stream = Stream(700 + case)
        side = (32, 512)[case % 2]
        objects = draw_boxes(stream, stream.between(0, 5), side, 8)
        boxes = draw_boxes(stream, 60, side, 8)
        labels, matched = network.assign_targets_to_anchors([boxes], [{"boxes": objects}])
        found, background = (masks[0].bool() for masks in network.fg_bg_sampler(labels))
        codes = network.box_coder.encode(matched, [boxes])[0]
        answers["anchors"].append(
            {"found": torch.where(found)[0].tolist(), "background": torch.where(background)[0].tolist(), "codes": codes[found].tolist()}
        )
        target = {"boxes": objects, "labels": torch.arange(1, 1 + len(objects))}
        regions, _, labels, codes = heads.select_training_samples([boxes], [target])
        answers["regions"].append(
            {"boxes": regions[0].tolist(), "classes": labels[0].tolist(), "codes": codes[0][labels[0] > 0].tolist()}
        )
    # Candidates with an object, ignored ones and those without, and how many of the first and the last are taken.
    answers["counts"] = []
    for n in ((0, 5, 0), (0, 0, 900), (7, 3, 900), (200, 90, 900), (200, 0, 100), (128, 1, 128), (129, 0, 127), (600, 9, 0)):
        labels = torch.cat([torch.full((count,), label) for count, label in zip(n, (1, -1, 0))])
        taken = [[int(masks[0].sum()) for masks in sampler([labels])] for sampler in (network.fg_bg_sampler, heads.fg_bg_sampler)]
        answers["counts"].append([n, *taken])
    return answers


def detections():
    stream = Stream(500)
    n, classes, image = 200, 5, (90, 110)
    boxes = draw_boxes(stream, n, 120, 4)
    logits = draw_numbers(stream, n * classes, 4.0).reshape(n, classes) + torch.arange(n * classes).reshape(n, classes) / 4096
    codes = draw_numbers(stream, n * classes * 4, 4.0).reshape(n, classes * 4)
    heads = roi_heads.RoIHeads(None, None, None, 0.5, 0.5, 512, 0.25, None, 0.05, 0.5, 100)
    found, scores, labels = heads.postprocess_detections(logits, codes, [boxes], [image])
    answers = {"two_stage": {"boxes": found[0].tolist(), "scores": scores[0].tolist(), "labels": labels[0].tolist()}}
    one_stage = ssd.SSD.__new__(ssd.SSD)
    torch.nn.Module.__init__(one_stage)
    one_stage.box_coder = _utils.BoxCoder((10.0, 10.0, 5.0, 5.0))
    one_stage.score_thresh, one_stage.topk_candidates, one_stage.nms_thresh, one_stage.detections_per_img = 0.001, 60, 0.55, 70
    outputs = {"bbox_regression": codes[:, :4][None], "cls_logits": logits[None]}
    found = one_stage.postprocess_detections(outputs, [boxes], [image])[0]
    answers["one_stage"] = {key: found[key].tolist() for key in ("boxes", "scores", "labels")}
    return answers


def roi_align():
    # Maps of two images, one with a feature pyramid, and one whose maps have the same stride, so that only the first is used.
    answers = {}
    for name, image, strides, side in (("pyramid", (256, 320), (4, 8, 16, 32), 7), ("mobile", (224, 352), (32, 32), 7), ("one", (40, 72), (8,), 14)):
        stream = Stream(800 + side + len(strides))
        pooler = MultiScaleRoIAlign([str(level) for level in range(len(strides))], side, 2)
        channels = 2
        maps = {}
        for level, stride in enumerate(strides):
            height, width = (-(-pixels // stride) for pixels in image)
            # Channels last, as they are drawn.
            numbers = draw_numbers(stream, 2 * height * width * channels, 4.0)
            maps[str(level)] = numbers.reshape(2, height, width, channels).permute(0, 3, 1, 2).requires_grad_()
        # Small ones, large ones, and some that are partly or wholly outside of the image.
        regions = [torch.cat([draw_boxes(stream, 8, 400, 8) - 40, draw_boxes(stream, 4, 400, 8) / 16, draw_boxes(stream, 2, 64, 8) - 300]) for _ in range(2)]
        squares = pooler(maps, regions, [image] * 2)
        upstream = draw_numbers(stream, squares.numel(), 1.0).reshape(len(squares), side, side, channels).permute(0, 3, 1, 2)
        squares.backward(upstream)
        # The gradient of a map that is not used is none.
        gradients = [map.grad.permute(0, 2, 3, 1).flatten() if map.grad is not None else None for map in maps.values()]
        answers[name] = {
            "image": image,
            "side": side,
            "maps": [list(map.shape[2:]) for map in maps.values()],
            "squares": squares.flatten()[::11].tolist(),
            "gradients": [gradient[::7].tolist() if gradient is not None else None for gradient in gradients],
        }
    return answers


def project():
    cells = []
    for case in range(8):
        stream = Stream(700 + case)
        side, height, width = (28, 5)[case % 2], stream.between(20, 60), stream.between(20, 60)
        mask = (draw_numbers(stream, height * width, 1.0) > 0).reshape(1, height, width).to(torch.uint8)
        boxes = draw_boxes(stream, 4, 72, 3) / (1, 4)[case // 4] - 4
        of_regions = roi_heads.project_masks_on_boxes(mask, boxes, torch.zeros(4, dtype=torch.int64), side)
        cells.append(of_regions.flatten()[::7].tolist())
    return {"cells": cells}


def paste():
    answers = {"sums": [], "runs": []}
    for case in range(8):
        stream = Stream(600 + case)
        side, height, width = (28, 14)[case % 2], stream.between(20, 60), stream.between(20, 60)
        mask = (draw_numbers(stream, side * side, 0.5) + 0.5).reshape(1, 1, side, side)
        box = draw_boxes(stream, 1, 60, 3) / (1, 4)[case // 4] - 4
        image = roi_heads.paste_masks_in_image(mask, box, (height, width))[0, 0]
        answers["sums"].append(image.double().sum(1).tolist())
        runs = coco.encode(numpy.asfortranarray((image > 0.5).numpy().astype(numpy.uint8)))
        answers["runs"].append(runs["counts"].decode())
    return answers


for name, answer in (("anchors", anchors), ("coder", coder), ("matcher", matcher), ("nms", suppress),
                     ("proposals", proposals), ("balanced", balanced), ("detections", detections),
                     ("roi_align", roi_align), ("project", project), ("paste", paste)):
    write(name, answer())
