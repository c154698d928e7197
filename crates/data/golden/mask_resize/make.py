"""Writes resized.txt: a mask of 7 x 5 different numbers, resized by torchvision as its references resize masks.

Run with torchvision and Pillow: python make.py
Every line has the columns and rows that the mask is resized to, a colon, and its numbers, rows from the top.
"""

import pathlib

import numpy
import torch
from PIL import Image
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as F

SIZES = [(7, 5), (3, 2), (4, 13), (14, 10), (11, 9), (1, 1), (20, 3), (5, 4), (6, 5), (70, 1)]

numbers = numpy.arange(35, dtype=numpy.uint8).reshape(5, 7)
lines = []
for columns, rows in SIZES:
    resized = numpy.asarray(F.resize(Image.fromarray(numbers), [rows, columns], InterpolationMode.NEAREST))
    exact = F.resize(torch.from_numpy(numbers)[None], [rows, columns], InterpolationMode.NEAREST_EXACT)
    assert (resized == exact[0].numpy()).all(), (columns, rows)
    lines.append(f"{columns} {rows}: {' '.join(str(number) for number in resized.flatten())}\n")
pathlib.Path(__file__).with_name("resized.txt").write_text("".join(lines))
