"""Writes stats.json: COCO's twelve numbers from pycocotools (2.0.11) for cases that the tests draw too (`../drawn.py`).

    python make.py

For every case, first of boxes and then of masks: the numbers over all categories, and those of each category alone.
Boxes lie on a coarse grid and scores are sixteenths, so that overlaps meet thresholds exactly and many scores are equal.
"""

import contextlib
import io
import json
import pathlib
import sys

from pycocotools import mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from drawn import Stream  # noqa: E402

CASES = 40
# What is special about a case; other numbers are cases without a special thing.
MANY_DETECTIONS, NOTHING_DETECTED, NO_OBJECTS, ONLY_CROWDS = 1, 2, 3, 4


def draw_shape(stream, height, width):
    left = 4 * stream.between(0, (width - 20) // 4)
    top = 4 * stream.between(0, (height - 20) // 4)
    return [left, top, 4 * stream.between(1, (width - left) // 4), 4 * stream.between(1, (height - top) // 4)]


def outline(is_triangle, box):
    left, top, right, bottom = box[0], box[1], box[0] + box[2], box[1] + box[3]
    return [left, top, left, bottom, right, bottom] + ([] if is_triangle else [right, top])


def draw_annotation(stream, kind, image, categories):
    box = draw_shape(stream, image["height"], image["width"])
    is_triangle = stream.between(0, 2) == 0
    category = categories[stream.between(0, len(categories) - 1)]["id"]
    is_crowd = stream.between(0, 7) == 0 or kind == ONLY_CROWDS
    drawn = stream.between(1, 20000)
    area = [box[2] * box[3], 1024, 9216, drawn][stream.between(0, 3)]
    return {"image_id": image["id"], "category_id": category, "bbox": box, "area": area, "iscrowd": int(is_crowd),
            "segmentation": [outline(is_triangle, box)]}


def draw_detection(stream, image, objects, categories):
    if objects and stream.between(0, 3) > 0:
        near = objects[stream.between(0, len(objects) - 1)]
        left, top, width, height = (number + 4 * stream.between(-1, 1) for number in near["bbox"])
        box, category = [left, top, max(4, width), max(4, height)], near["category_id"]
    else:
        box = draw_shape(stream, image["height"], image["width"])
        category = categories[stream.between(0, len(categories) - 1)]["id"]
    is_triangle = stream.between(0, 2) == 0
    score = stream.between(0, 16) / 16
    runs = mask.frPyObjects([outline(is_triangle, box)], image["height"], image["width"])[0]
    return {"image_id": image["id"], "category_id": category, "bbox": box, "score": score, "segmentation": runs}


def draw(case):
    stream = Stream(case)
    kind = stream.between(0, 7)
    categories = [{"id": 3 * k + 2, "name": f"class {k}"} for k in range(stream.between(1, 3))]
    images = [{"id": 100 - 7 * i, "file_name": f"{i}.jpg", "height": stream.between(40, 300),
               "width": stream.between(40, 300)} for i in range(stream.between(1, 5))]
    annotations, found = [], []
    for image in images:
        n = 0 if kind == NO_OBJECTS else stream.between(0, 6)
        objects = [draw_annotation(stream, kind, image, categories) for _ in range(n)]
        annotations += objects
        drawn = stream.between(0, 8)
        n = {MANY_DETECTIONS: 130, NOTHING_DETECTED: 0}.get(kind, drawn)
        found += [draw_detection(stream, image, objects, categories) for _ in range(n)]
    for i, annotation in enumerate(annotations):
        annotation["id"] = i + 1
    return {"images": images, "categories": categories, "annotations": annotations}, found


def load(dataset):
    coco = COCO()
    coco.dataset = dataset
    coco.createIndex()
    return coco


def stats(truth, found, what, categories):
    evaluation = COCOeval(truth, found, what)
    evaluation.params.catIds = categories
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return [float(f"{number:.10g}") for number in evaluation.stats]


def solve(case):
    truth, found = draw(case)
    ids = [category["id"] for category in truth["categories"]]
    truth = load(truth)
    solved = []
    for what in ("bbox", "segm"):
        # The area of a detection is that of its box if it has one. Every other case has masks alone.
        leave_out = "segmentation" if what == "bbox" else "bbox" if case % 2 else None
        entries = [{key: value for key, value in entry.items() if key != leave_out} for entry in found]
        empty = {"images": truth.dataset["images"], "categories": truth.dataset["categories"], "annotations": []}
        results = truth.loadRes(entries) if entries else load(empty)
        solved.append([stats(truth, results, what, which) for which in [ids] + [[id] for id in ids]])
    return solved


with contextlib.redirect_stdout(io.StringIO()):
    solved = [solve(case) for case in range(CASES)]
lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in solved)
(HERE / "stats.json").write_text(f"[\n{lines}\n]\n")
