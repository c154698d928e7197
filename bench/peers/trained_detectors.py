"""Trains torchvision's detectors briefly on photographs of COCO, imports their checkpoints, and compares what both programs find.

usage: trained_detectors.py MUTUALNET COCO OUT [NETWORK...]
    MUTUALNET  our program
    COCO       a folder with COCO's layout: annotations/instances_train2017.json and train2017
    OUT        a folder for checkpoints, data and runs

Every checkpoint is imported and tabulated; batch-norm statistics are those of our calibration, so they go back into torchvision's
model with the weights of the bundle. Then both see the same photographs, as squares of the network's side, and must find the
same objects. Prints one JSON object: for every network how many objects of a score above 0.05 were compared, and the largest
differences of scores, of box sides in pixels, and of masks as a share of their pixels. Exits with 1 if one is above its limit.
"""

import json
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import torch
from PIL import Image

import detectors

MUTUALNET, COCO, OUT = (pathlib.Path(arg).resolve() for arg in sys.argv[1:4])
IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
HALF = ([0.5] * 3, [0.5] * 3)
# Steps that are enough for sure objects, and the learning rate of Adam.
NETWORKS = {
    "ssdlite320_mobilenet_v3_large": (HALF, 150, 1e-3),
    "fasterrcnn_mobilenet_v3_large_fpn": (IMAGENET, 100, 3e-4),
    "maskrcnn_resnet50_fpn": (IMAGENET, 60, 1e-4),
}
SIDE, PHOTOGRAPHS, BATCH, LEAST_SCORE = 320, 8, 2, 0.05
# The largest differences that rounding explains.
LIMITS = {"score": 1e-4, "box_px": 0.05, "mask_share": 0.01}


def data():
    """Photographs without crowds, stretched to squares, as a data set of ours; returns their pixels and objects."""
    truth = json.loads((COCO / "annotations/instances_train2017.json").read_text())
    of_image = {}
    for annotation in truth["annotations"]:
        of_image.setdefault(annotation["image_id"], []).append(annotation)
    fits = lambda image: image["id"] in of_image and not any(a["iscrowd"] for a in of_image[image["id"]])
    images = [image for image in truth["images"] if fits(image)][:PHOTOGRAPHS]
    used = {a["category_id"] for image in images for a in of_image[image["id"]]}
    categories = sorted((c for c in truth["categories"] if c["id"] in used), key=lambda c: c["id"])
    label = {category["id"]: idx + 1 for idx, category in enumerate(categories)}
    written, objects, photographs = [], [], []
    for split in ("train", "test"):
        (OUT / "data" / split / "images").mkdir(parents=True, exist_ok=True)
    for image in images:
        photograph = Image.open(COCO / "train2017" / image["file_name"]).convert("RGB")
        x, y = SIDE / photograph.width, SIDE / photograph.height
        photograph = photograph.resize((SIDE, SIDE), Image.BILINEAR)
        name = pathlib.Path(image["file_name"]).stem + ".png"
        boxes, labels, masks = [], [], []
        for a in of_image[image["id"]]:
            left, top, width, height = (side * factor for side, factor in zip(a["bbox"], (x, y, x, y)))
            polygons = [[at * (x, y)[idx % 2] for idx, at in enumerate(polygon)] for polygon in a["segmentation"]]
            objects.append({**a, "bbox": [left, top, width, height], "segmentation": polygons, "area": width * height})
            boxes.append([left, top, left + width, top + height])
            labels.append(label[a["category_id"]])
            mask = torch.zeros(SIDE, SIDE, dtype=torch.uint8)
            mask[int(top) : int(top + height) + 1, int(left) : int(left + width) + 1] = 1
            masks.append(mask)
        for split in ("train", "test"):
            photograph.save(OUT / "data" / split / "images" / name)
        written.append({"id": image["id"], "file_name": name, "width": SIDE, "height": SIDE})
        target = {"boxes": torch.tensor(boxes), "labels": torch.tensor(labels), "masks": torch.stack(masks)}
        photographs.append((name, torch.from_numpy(np.array(photograph)).permute(2, 0, 1) / 255, target))
    for split in ("train", "test"):
        file = {"images": written, "annotations": objects, "categories": categories}
        (OUT / "data" / split / "instances.json").write_text(json.dumps(file))
    return photographs, ["background"] + [category["name"] for category in categories]


def normalized(pixels, mean, std):
    return (pixels - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]


def trained(name, photographs, n_classes):
    (mean, std), steps, rate = NETWORKS[name]
    torch.manual_seed(1)
    model = detectors.build(name, n_classes, SIDE).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    for step in range(steps):
        batch = [photographs[(BATCH * step + idx) % len(photographs)] for idx in range(BATCH)]
        losses = model([normalized(pixels, mean, std) for _, pixels, _ in batch], [dict(t) for _, _, t in batch])
        optimizer.zero_grad()
        loss = sum(losses.values())
        loss.backward()
        optimizer.step()
        if step % 10 == 9:
            print(f"{name}: step {step + 1} of {steps}, loss {loss.item():.3f}", file=sys.stderr, flush=True)
    path = OUT / f"{name}.pth"
    torch.save(model.state_dict(), path)
    return path


def ours(*args):
    done = subprocess.run([MUTUALNET, *map(str, args)], cwd=OUT, capture_output=True, text=True)
    assert done.returncode == 0, f"{args}: {done.stderr}"
    return done.stdout


def bundled(name, checkpoint):
    """Imports a checkpoint, and makes a bundle of it with a step that changes nothing."""
    (mean, std), _, _ = NETWORKS[name]
    weights, recipe, run = (OUT / f"{name}{end}" for end in (".safetensors", ".toml", ".run"))
    ours("import", checkpoint, "--network", name, "-o", weights)
    recipe.write_text(f"""
seed = 1
task = "detect"
network = {{ name = "{name}", widths = [1.0, 1.0], resolutions = [{SIDE}] }}
data = {{ path = "data", mean = {mean}, std = {std}, augment = {{ crop = {{ kind = "center" }}, flip = false }} }}
[train]
method = "independent"
subnet = "1.0-{SIDE}"
init = "{weights}"
epochs = 1
max_steps = 1
batch = 2
lr = 1e-12
weight_decay = 0.0
[tabulate]
calibration_batch = 2
calibration_batches = 4
latency_runs = 1
""")
    shutil.rmtree(run, ignore_errors=True)
    ours("train", recipe, "--out", run)
    ours("tabulate", run)
    return run / "model.mnb"


def decoded(segmentation):
    """The pixels of a mask in COCO's compressed runs."""
    text, counts, at = segmentation["counts"], [], 0
    while at < len(text):
        number, shift, more = 0, 0, True
        while more:
            code = ord(text[at]) - 48
            number |= (code & 31) << shift
            shift, more, at = shift + 5, bool(code & 32), at + 1
            if not more and code & 16:
                number |= -1 << shift
        counts.append(number + (counts[-2] if len(counts) > 2 else 0))
    pixels = np.repeat(np.arange(len(counts)) % 2, counts)
    return pixels.reshape(segmentation["size"][::-1]).T


def compared(name, photographs, classes):
    (mean, std), _, _ = NETWORKS[name]
    bundle = bundled(name, trained(name, photographs, len(classes)))
    model, found = detectors.of_bundle(bundle), []
    answers = json.loads(ours("predict", bundle, "data/test/images", "--json", "--no-winograd", "--threads", "1"))
    by_name = {pathlib.Path(image["path"]).name: image["objects"] for image in answers["images"]}
    worst = {"objects": 0, "score": 0.0, "box_px": 0.0, "mask_share": 0.0}
    for file, pixels, _ in photographs:
        with torch.inference_mode():
            (theirs,) = model([normalized(pixels, mean, std)])
        left = [o for o in by_name[file] if o["score"] > LEAST_SCORE]
        sure = [idx for idx, score in enumerate(theirs["scores"].tolist()) if score > LEAST_SCORE]
        assert len(left) == len(sure), f"{name}, {file}: {len(left)} objects here, {len(sure)} there"
        for idx in sure:
            box, score = theirs["boxes"][idx].tolist(), theirs["scores"][idx].item()
            cornered = lambda o: [o["bbox"][0], o["bbox"][1], o["bbox"][0] + o["bbox"][2], o["bbox"][1] + o["bbox"][3]]
            apart = lambda o: max(abs(a - b) for a, b in zip(cornered(o), box))
            same = [o for o in left if o["class"] == classes[theirs["labels"][idx]] and abs(o["score"] - score) < 1e-2]
            assert same, f"{name}, {file}: no {classes[theirs['labels'][idx]]} with a score of {score}"
            own = min(same, key=apart)
            left.remove(own)
            worst["objects"] += 1
            worst["score"] = max(worst["score"], abs(own["score"] - score))
            worst["box_px"] = max(worst["box_px"], apart(own))
            if "masks" in theirs:
                mask = (theirs["masks"][idx, 0] > 0.5).numpy()
                differ = int((mask != decoded(own["segmentation"])).sum())
                worst["mask_share"] = max(worst["mask_share"], differ / max(int(mask.sum()), 1))
    return worst


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    photographs, classes = data()
    names = sys.argv[4:] or NETWORKS
    worst = {name: compared(name, photographs, classes) for name in names}
    print(json.dumps(worst, indent=1))
    above = [name for name in names if any(worst[name][what] > most for what, most in LIMITS.items())]
    sys.exit(f"above the limits {LIMITS}: {', '.join(above)}" if above else 0)


main()
