"""Runs one of torchvision's one-stage detectors, with which ours is compared at width 1.

    python make.py FACTS      (torch 2.11.0, torchvision 0.26.0, numpy; `cargo xtask golden NETWORK` does this)

FACTS is a JSON file with the name; NAME.json is written into the script's own folder.
Weights and images come from `fill`, which the tests repeat, so the files contain only names, shapes and results.
It computes in double precision and with the statistics of the batch. Images are those that the backbone sees, normalized.
    parameters   names and shapes, in torchvision's order
    macs         multiply-accumulates of convolutions for square images, by side
    outputs      of every map: shape, and every n-th number of the row-major output, at most 256
"""

import json
import pathlib
import sys

import numpy as np
import torch
import torchvision

torch.set_default_dtype(torch.float64)

IMAGES = [4, 3, 160, 192]
CLASSES = 21


def fill(seed, shape):
    """Uniform numbers in [-1, 1) out of an integer hash of seed and position."""
    n = int(np.prod(shape))
    x = np.arange(n, dtype=np.uint64) * 2654435761 + np.uint64(seed) * 40503 + 12345
    x &= 0xFFFFFFFF
    for shift, factor in ((15, 0x2C1B3C6D), (12, 0x297A2D39)):
        x ^= x >> np.uint64(shift)
        x = (x * factor) & 0xFFFFFFFF
    x ^= x >> np.uint64(15)
    return torch.from_numpy((x >> np.uint64(8)).astype(np.float64) / 2**23 - 1).reshape(shape)


def values(name, parameter, seed):
    shape = tuple(parameter.shape)
    if len(shape) == 4:
        scale, mean = (6 / (shape[2] * shape[3] * shape[0])) ** 0.5, 0
    elif parameter is not None and name.endswith("weight"):
        scale, mean = 0.1, 0.4
    else:
        # A shift of a batch norm or a bias of a convolution.
        scale, mean = 0.3, 0.5
    return fill(seed, shape) * scale + mean


def conv_macs(model, side):
    macs = 0

    def hook(module, inputs, output):
        nonlocal macs
        fan_in = inputs[0].shape[1] // module.groups
        macs += output[0].numel() * module.kernel_size[0] * module.kernel_size[1] * fan_in

    handles = [m.register_forward_hook(hook) for m in model.modules() if isinstance(m, torch.nn.Conv2d)]
    with torch.no_grad():
        maps = model.eval().backbone(torch.zeros(1, 3, side, side))
        model.head(list(maps.values()))
    for handle in handles:
        handle.remove()
    return macs


def every(output):
    numbers = output.flatten()
    return numbers[:: max(1, len(numbers) // 256)][:256].tolist()


def maps(model, images):
    """The maps of scores and of boxes, before they are rearranged into lists of boxes."""
    features = list(model.backbone(images).values())
    heads = {"scores": model.head.classification_head, "boxes": model.head.regression_head}
    return {
        f"{name}.{idx}": head.module_list[idx](feature)
        for name, head in heads.items()
        for idx, feature in enumerate(features)
    }


def main(facts):
    name = json.loads(pathlib.Path(facts).read_text())["name"]
    detection = torchvision.models.detection
    model = getattr(detection, name)(weights=None, weights_backbone=None, num_classes=CLASSES)
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for idx, path in enumerate(sorted(parameters)):
            parameters[path].copy_(values(path, parameters[path], 1000 + idx))
    macs = {side: conv_macs(model, side) for side in (320, 100)}
    model.train()
    with torch.no_grad():
        outputs = maps(model, fill(7, IMAGES) * 1.7)
    golden = {
        "network": name,
        "parameters": [[path, list(p.shape)] for path, p in parameters.items()],
        "macs": macs,
        "outputs": {key: {"shape": list(out.shape), "numbers": every(out)} for key, out in outputs.items()},
    }
    (pathlib.Path(__file__).parent / f"{name}.json").write_text(json.dumps(golden, indent=0) + "\n")
    print(name, sum(p.numel() for p in parameters.values()))


main(*sys.argv[1:])
