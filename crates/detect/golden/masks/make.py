"""Writes results of pycocotools (2.0.11) for masks whose numbers the tests draw too (`../drawn.py`).

    python make.py

polygons.txt: for every case the mask of its first polygon as compressed text, the area, and left, top, width and height of
its bounds; then the mask of all its polygons together.
pairs.txt: for every two masks of one size the intersection over union, the share of the first in the second as a crowd,
and the text of their union and of their intersection.
"""

import pathlib
import sys

import numpy
from pycocotools import mask

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from drawn import Stream  # noqa: E402

POLYGONS, PAIRS = 200, 80


def corner(stream, kind, side):
    """One coordinate: whole numbers, eighths, hundredths, or far away."""
    if kind == 0:
        return float(stream.between(-8, side + 8))
    if kind == 1:
        return stream.between(-40, 8 * side + 40) / 8
    if kind == 2:
        return stream.between(0, 100 * side) / 100
    return stream.between(-300000, 300000) / 7


def polygon(stream, height, width):
    kind = stream.between(0, 3)
    n = stream.between(3, 12)
    return [value for _ in range(n) for value in (corner(stream, kind, width), corner(stream, kind, height))]


def bitmap(stream, height, width):
    """Runs of random lengths, up to once around a column, in order of columns."""
    pixels = []
    value = stream.between(0, 1)
    while len(pixels) < height * width:
        pixels += [value] * stream.between(1, height)
        value = 1 - value
    return numpy.array(pixels[: height * width], dtype=numpy.uint8).reshape(width, height).T


def text(rle):
    return rle["counts"].decode()


lines = []
for case in range(POLYGONS):
    stream = Stream(case)
    height, width = stream.between(1, 90), stream.between(1, 90)
    polygons = [polygon(stream, height, width) for _ in range(stream.between(1, 3))]
    masks = mask.frPyObjects(polygons, height, width)
    bounds = " ".join(str(int(number)) for number in mask.toBbox(masks[0]))
    lines.append(f"{text(masks[0])} {mask.area(masks[0])} {bounds} {text(mask.merge(masks))}\n")
(HERE / "polygons.txt").write_text("".join(lines))

lines = []
for case in range(PAIRS):
    stream = Stream(1000 + case)
    height, width = stream.between(1, 20), stream.between(1, 20)
    pair = [mask.encode(numpy.asfortranarray(bitmap(stream, height, width))) for _ in range(2)]
    iou, share = (mask.iou(pair[:1], pair[1:], [crowd])[0, 0].item() for crowd in (0, 1))
    merged = " ".join(text(mask.merge(pair, intersect=intersect)) for intersect in (False, True))
    lines.append(f"{iou!r} {share!r} {merged}\n")
(HERE / "pairs.txt").write_text("".join(lines))
