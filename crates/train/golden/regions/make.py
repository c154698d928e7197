"""Computes what torchvision cuts out of feature maps, with which ours is compared.

    python make.py      (torch 2.11.0, torchvision 0.26.0, numpy)

`cut.json` is written into the script's own folder. Maps come from `fill`, which the test repeats.
It computes in double precision. For two images of 128 x 192 pixels:
    regions           boxes in each image
    maps              heights and widths
    squares           every n-th number of the regions, at most 256
    gradients         of every map, of the sum of squares with upstream numbers from `fill`; every n-th, at most 256
"""

import json
import pathlib
import sys

import torch
from torchvision.ops import MultiScaleRoIAlign

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.resolve().parents[2] / "testkit/golden"))
from filled import every, fill

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


(HERE / "cut.json").write_text(json.dumps(cut()) + "\n")
