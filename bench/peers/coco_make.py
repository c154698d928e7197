"""Makes what evaluations of COCO are compared on.

usage: coco_make.py truth N OUT
       coco_make.py results TRUTH OUT
The first writes ground truth for N images with about as many objects and corners as COCO's validation set: 80 categories,
7 objects an image, one of 60 a crowd. The second writes detections for any ground truth: most objects a few times, moved a
little, some with a wrong category, and boxes where nothing is. Every detection has a mask, and `OUT` gets boxes and masks;
the box is left out of a copy `OUT.masks`, because pycocotools would take areas from it.
"""
import json
import math
import random
import sys

from pycocotools import mask

CATEGORIES, OBJECTS, CORNERS, CROWD = 80, 7, 24, 1 / 60


def polygon(rng, box):
    left, top, width, height = box
    corners = []
    for i in range(CORNERS):
        angle, radius = 2 * math.pi * i / CORNERS, rng.uniform(0.35, 0.5)
        x = left + width * (0.5 + radius * math.cos(angle))
        y = top + height * (0.5 + radius * math.sin(angle))
        corners += [round(x, 2), round(y, 2)]
    return corners


def bounds(corners):
    xs, ys = corners[::2], corners[1::2]
    return [min(xs), min(ys), round(max(xs) - min(xs), 2), round(max(ys) - min(ys), 2)]


def truth(n):
    rng = random.Random(1)
    images = [{"id": 3 * i + 1, "file_name": "%012d.jpg" % i, "height": rng.choice([427, 480, 640]), "width": rng.choice([480, 640])} for i in range(n)]
    annotations = []
    for image in images:
        for _ in range(rng.randint(1, 2 * OBJECTS - 1)):
            size = math.exp(rng.uniform(math.log(10), math.log(400)))
            width, height = min(size * rng.uniform(0.5, 2), image["width"] - 2), min(size, image["height"] - 2)
            box = [rng.uniform(0, image["width"] - width), rng.uniform(0, image["height"] - height), width, height]
            corners = polygon(rng, box)
            runs = mask.frPyObjects([corners], image["height"], image["width"])[0]
            # Small numbers are drawn more often, as some of COCO's categories are.
            category = min(rng.randint(1, CATEGORIES), rng.randint(1, CATEGORIES))
            annotation = {"id": len(annotations) + 1, "image_id": image["id"], "category_id": category, "iscrowd": 0,
                          "bbox": bounds(corners), "area": float(mask.area(runs)), "segmentation": [corners]}
            if rng.random() < CROWD:
                annotation |= {"iscrowd": 1, "segmentation": uncompressed(runs)}
            annotations.append(annotation)
    categories = [{"id": i, "name": "class %d" % i} for i in range(1, CATEGORIES + 1)]
    return {"images": images, "annotations": annotations, "categories": categories}


def uncompressed(runs):
    pixels = mask.decode(runs).flatten(order="F").tolist()
    counts, value, count = [], 0, 0
    for pixel in pixels:
        if pixel != value:
            counts.append(count)
            value, count = pixel, 0
        count += 1
    return {"size": list(runs["size"]), "counts": counts + [count]}


def moved(rng, annotation, image):
    """The polygons or the box of an object, shifted and scaled a little; as corners."""
    left, top, width, height = annotation["bbox"]
    spread = rng.choice([0.02, 0.1, 0.3])
    shift = [rng.gauss(0, spread) * width, rng.gauss(0, spread) * height]
    scale = math.exp(rng.gauss(0, spread))
    shapes = annotation["segmentation"]
    if not isinstance(shapes, list):
        shapes = [[left, top, left, top + height, left + width, top + height, left + width, top]]
    move = [[round((number - annotation["bbox"][i % 2]) * scale + annotation["bbox"][i % 2] + shift[i % 2], 2) for i, number in enumerate(shape)] for shape in shapes]
    return [shape for shape in move if len(shape) > 4]


def results(path):
    rng = random.Random(2)
    with open(path) as file:
        data = json.load(file)
    categories = [category["id"] for category in data["categories"]]
    images = {image["id"]: image for image in data["images"]}
    objects = {id: [] for id in images}
    for annotation in data["annotations"]:
        objects[annotation["image_id"]].append(annotation)
    found = []
    for id, image in images.items():
        near = [annotation for annotation in objects[id] for _ in range(rng.randint(0, 6))]
        for annotation in near + [None] * rng.randint(0, 20):
            if annotation is None:
                size = rng.uniform(5, 100)
                x, y = rng.uniform(0, image["width"] - size), rng.uniform(0, image["height"] - size)
                shapes, category = [[x, y, x, y + size, x + size, y]], rng.choice(categories)
            else:
                shapes = moved(rng, annotation, image)
                category = annotation["category_id"] if rng.random() < 0.8 else rng.choice(categories)
            if not shapes:
                continue
            runs = mask.merge(mask.frPyObjects(shapes, image["height"], image["width"]))
            box = bounds([number for shape in shapes for number in shape])
            # Three digits, so that many scores are equal.
            score = round(rng.betavariate(2, 3) if annotation is None else rng.betavariate(3, 2), 3)
            found.append({"image_id": id, "category_id": category, "bbox": box, "score": score,
                          "segmentation": {"size": list(runs["size"]), "counts": runs["counts"].decode()}})
    return found


def write(path, value):
    with open(path, "w") as file:
        json.dump(value, file)


if sys.argv[1] == "truth":
    write(sys.argv[3], truth(int(sys.argv[2])))
else:
    found = results(sys.argv[2])
    write(sys.argv[3], found)
    write(sys.argv[3] + ".masks", [{key: value for key, value in entry.items() if key != "bbox"} for entry in found])
