"""Writes how timm mixes pairs of images, as the reference for `augment::Mixing`.

    python make.py   (torch 2.11.0, timm 1.0.31, numpy)

Writes two files into its own folder:
    rectangles.txt  lines `side lambda center_y center_x top bottom left right corrected_lambda` of CutMix
    pairs.txt       lines of `mixup LAMBDA` or `cutmix LAMBDA CENTER_Y CENTER_X`, the share of the first label, and the
                    numbers of both mixed images, `[2, 4, 4, 3]`
timm's random draws are replaced by given numbers. The images before mixing come from `image`, which the tests repeat.
"""

import pathlib
from unittest import mock

import numpy as np
import torch
from timm.data.mixup import Mixup, cutmix_bbox_and_lam

SIDE = 4
RECTANGLES = [
    (side, lam, y, x)
    for side in (4, 7, 32, 224)
    for lam in (0.0, 0.003, 0.25, 0.5, 0.9, 0.999, 1.0)
    for y, x in ((0, 0), (side // 2, side // 3), (side - 1, side // 2), (side - 1, side - 1))
]
PAIRS = [("mixup", 0.3), ("mixup", 0.875), ("cutmix", 0.4, 2, 1), ("cutmix", 0.7, 0, 3), ("cutmix", 0.0, 2, 2)]


def given(numbers):
    return mock.patch("numpy.random.randint", side_effect=list(numbers))


def image(offset):
    """`[3, SIDE, SIDE]`, small multiples of 1/8 around 0."""
    values = (np.arange(SIDE * SIDE * 3) * 5 + offset) % 23 / 8 - 1
    return torch.from_numpy(values.astype(np.float32)).reshape(SIDE, SIDE, 3).permute(2, 0, 1)


def pair(kind, lam, *center):
    images = torch.stack([image(0), image(11)])
    alphas = {"mixup_alpha": 1.0, "cutmix_alpha": 0.0} if kind == "mixup" else {"mixup_alpha": 0.0, "cutmix_alpha": 1.0}
    mix = Mixup(**alphas, mode="pair", label_smoothing=0.0, num_classes=2)
    beta = mock.patch("numpy.random.beta", return_value=np.array([lam]))
    with beta, given(center):
        images, target = mix(images, torch.tensor([0, 1]))
    # Both images keep the same share of their own label.
    assert target[0, 0] == target[1, 1]
    return float(target[0, 0]), images.permute(0, 2, 3, 1).reshape(-1).tolist()


here = pathlib.Path(__file__).parent
with open(here / "rectangles.txt", "w") as file:
    for side, lam, y, x in RECTANGLES:
        with given([y, x]):
            (top, bottom, left, right), corrected = cutmix_bbox_and_lam((3, side, side), lam)
        print(side, lam, y, x, top, bottom, left, right, repr(float(corrected)), file=file)
with open(here / "pairs.txt", "w") as file:
    for case in PAIRS:
        share, numbers = pair(*case)
        print(*case, repr(share), *[repr(number) for number in numbers], file=file)
