"""Applies torchvision's RandAugment operations to two small pictures, as the reference for the parity tests.

    python make.py            (torchvision 0.26.0, Pillow 13.0.0)

Writes busy.png and dim.png into its own folder.
Each is a sheet of tiles, with a line for every operation in torchvision's order, followed by one with the negative sign
if the operation has a sign, and a column for every magnitude of MAGNITUDES.
The pictures come from `picture`, which the tests repeat.
"""

import pathlib

from PIL import Image
from torchvision.transforms import InterpolationMode
from torchvision.transforms.autoaugment import RandAugment, _apply_op

MAGNITUDES = [1, 5, 9, 14, 15, 22, 30]
BINS = 31


def picture(width, height, base, span):
    image = Image.new("RGB", (width, height))
    for y in range(height):
        for x in range(width):
            smooth = [x * (5 + c) + y * (9 - 3 * c) for c in range(3)]
            block = 40 * ((x // 5 + y // 4) % 3)
            image.putpixel((x, y), tuple(base + (value + block) % span for value in smooth))
    return image


def sheet(image):
    width, height = image.size
    space = RandAugment(num_magnitude_bins=BINS)._augmentation_space(BINS, (height, width))
    rows = []
    for name, (magnitudes, signed) in space.items():
        for sign in (1.0, -1.0) if signed else (1.0,):
            rows.append((name, magnitudes, sign))
    tiles = Image.new("RGB", (width * len(MAGNITUDES), height * len(rows)))
    for row, (name, magnitudes, sign) in enumerate(rows):
        for column, magnitude in enumerate(MAGNITUDES):
            strength = sign * float(magnitudes[magnitude]) if magnitudes.ndim > 0 else 0.0
            tile = _apply_op(image, name, strength, InterpolationMode.NEAREST, fill=None)
            tiles.paste(tile, (column * width, row * height))
    return tiles


here = pathlib.Path(__file__).parent
sheet(picture(32, 32, 0, 256)).save(here / "busy.png", optimize=True)
sheet(picture(29, 18, 60, 70)).save(here / "dim.png", optimize=True)
