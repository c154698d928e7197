"""Loads image files as normalized batches on one core, the way torchvision's users and the MutualNet authors do.

usage: data_loading.py PATH DIRECTORY [CHECKOUT]
PATH is one of
  pil       torchvision's reference recipe on PIL images
  io_v1     torchvision.io's decoder, and transforms on float tensors
  io_v2     torchvision.io's decoder, and v2 transforms on bytes, float last, which torchvision recommends for speed
  authors   the authors' own training transform, unedited: crop, jitter, lighting, flip, four resolutions
The program prints `ready`. For each line `step FIRST N` on stdin it makes one batch of the files FIRST to
FIRST + N - 1 of the directory (sorted, starting over at the end) and prints the seconds it took.
"""
import os
import sys
import tempfile
import time

import torch
import torchvision.io
from PIL import Image
from torchvision.transforms import v2
from torchvision import transforms as v1

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def pil():
    transform = v1.Compose(
        [v1.RandomResizedCrop(224), v1.RandomHorizontalFlip(), v1.ToTensor(), v1.Normalize(MEAN, STD)]
    )
    return lambda path: transform(Image.open(path).convert("RGB"))


def decode(path):
    return torchvision.io.decode_image(path, torchvision.io.ImageReadMode.RGB)


def io_v1():
    transform = v1.Compose(
        [
            v1.RandomResizedCrop(224, antialias=True),
            v1.RandomHorizontalFlip(),
            v1.ConvertImageDtype(torch.float32),
            v1.Normalize(MEAN, STD),
        ]
    )
    return lambda path: transform(decode(path))


def io_v2():
    transform = v2.Compose(
        [
            v2.RandomResizedCrop(224, antialias=True),
            v2.RandomHorizontalFlip(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(MEAN, STD),
        ]
    )
    return lambda path: transform(decode(path))


def authors(checkout):
    """Their `get_imagenet` builds loaders of whole data sets; an empty class folder is enough to get the transform."""
    checkout = os.path.abspath(checkout)
    sys.argv[1:] = ["app:" + os.path.join(checkout, "apps", "mobilenet_v1.yml")]
    sys.path.insert(0, checkout)
    place = tempfile.mkdtemp()
    for split in ["train", "val"]:
        os.makedirs(os.path.join(place, split, "class"))
        Image.new("RGB", (8, 8)).save(os.path.join(place, split, "class", "image.png"))
    stdout, sys.stdout = sys.stdout, sys.stderr  # they print their settings
    from utils import datasets

    sys.stdout = stdout
    datasets.FLAGS.dataset_dir = place
    train_loader, _ = datasets.get_imagenet()
    transform = train_loader.dataset.transform
    return lambda path: transform(Image.open(path).convert("RGB"))


def main(name, directory, *rest):
    torch.set_num_threads(1)
    torch.manual_seed(0)
    files = sorted(os.path.join(directory, file) for file in os.listdir(directory))
    transform = globals()[name](*rest)
    print("ready", flush=True)
    for line in sys.stdin:
        first, n = map(int, line.split()[1:])
        start = time.perf_counter()
        batch = torch.utils.data.default_collate([transform(files[i % len(files)]) for i in range(first, first + n)])
        print("%.6f" % (time.perf_counter() - start), flush=True)
        del batch


main(*sys.argv[1:])
