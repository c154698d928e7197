"""Compares our decoded and resized photographs with Pillow's and torchvision's.

usage: pixels.py EXAMPLE DIRECTORY [N]
EXAMPLE is the built example `pixels` of the data crate. DIRECTORY has image files, of which the first N (default 100)
are used. Prints mean absolute and largest differences in levels out of 255; the exit status is 1 if a mean is above 1.
"""
import os
import subprocess
import sys
import tempfile

import numpy as np
from PIL import Image
from torchvision.transforms import functional as F

SIDE = 224


def ours(example, files):
    """Yields the output of the example for every file: the image, the test-time crop, the resized center."""
    with tempfile.TemporaryDirectory() as place:
        out = os.path.join(place, "pixels")
        subprocess.run([example, out] + files, check=True)
        data = np.fromfile(out, dtype=np.uint8)
    at = 0

    def take(height, width):
        nonlocal at
        at += 3 * height * width
        return data[at - 3 * height * width : at].reshape(height, width, 3).astype(int)

    for _ in files:
        width, height = data[at : at + 8].view("<u4")
        at += 8
        yield take(height, width), take(SIDE, SIDE), take(SIDE, SIDE)


def theirs(file):
    image = Image.open(file).convert("RGB")
    width, height = image.size
    test = F.center_crop(F.resize(image, 256), SIDE)
    middle = F.resized_crop(image, height // 5, width // 5, height * 6 // 10, width * 6 // 10, [SIDE, SIDE])
    return [np.asarray(picture).astype(int) for picture in (image, test, middle)]


def main(example, directory, n=100):
    files = sorted(os.path.join(directory, file) for file in os.listdir(directory))[: int(n)]
    names = ["decoded", "shorter side to 256, middle 224", "crop, resized to 224"]
    means, worst = {name: [] for name in names}, dict.fromkeys(names, 0)
    for file, made in zip(files, ours(example, files)):
        for name, a, b in zip(names, made, theirs(file)):
            if a.shape != b.shape:
                sys.exit("%s, %s: %s and %s" % (file, name, a.shape, b.shape))
            difference = np.abs(a - b)
            means[name].append(difference.mean())
            worst[name] = max(worst[name], difference.max())
    print("%d images; differences in levels of 255" % len(files))
    for name in names:
        print("%-34s mean %.4f  worst image's mean %.4f  largest %d"
              % (name, np.mean(means[name]), np.max(means[name]), worst[name]))
    sys.exit(any(np.mean(values) > 1 for values in means.values()))


main(*sys.argv[1:])
