"""Arrow files of `datasets` and pyarrow, as we read them and as they do.

usage: arrow.py EXAMPLE [N]
EXAMPLE is the built example `split` of the data crate; N (50) images are made for each split, some PNG, some JPEG.
Compares names of rows, classes and pixels to the byte, and ends with status 1 where one differs.
"""
import hashlib
import io
import os
import subprocess
import sys
import tempfile

import datasets
import numpy as np
import pyarrow as pa
from PIL import Image
from pyarrow import feather

CLASSES = ["ant", "bee", "cat"]
FEATURES = datasets.Features({
    "tags": datasets.Sequence(datasets.Value("string")),
    "image": datasets.Image(),
    "label": datasets.ClassLabel(names=CLASSES),
})


def rows(n, seed):
    """Yields images of many sizes, half of them PNG and half JPEG, with labels and tags before them."""
    random = np.random.default_rng(seed)
    for i in range(n):
        height, width = random.integers(1, 90, 2)
        pixels = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG" if i % 2 else "JPEG")
        image = {"bytes": buffer.getvalue(), "path": "%d.img" % i}
        yield {"tags": ["t"] * (i % 4), "image": image, "label": int(random.integers(len(CLASSES)))}


def theirs(files, directory):
    """What pyarrow reads: a line for every row of the files, as the example writes it."""
    lines = []
    for file in files:
        with pa.OSFile(file) as source:
            is_stream = source.read(6) != b"ARROW1"
            source.seek(0)
            table = (pa.ipc.open_stream if is_stream else pa.ipc.open_file)(source).read_all()
        for number, row in enumerate(table.select(["image", "label"]).to_pylist()):
            content = row["image"]["bytes"]
            image = Image.open(io.BytesIO(content)).convert("RGB")
            name = "%s/%d" % (os.path.relpath(file, directory), number)
            pixels = hashlib.sha256(image.tobytes()).hexdigest()
            lines.append([name, CLASSES[row["label"]], image.width, image.height, pixels])
    return sorted("\t".join(map(str, line)) for line in lines)


def ours(example, directory, split, out):
    subprocess.run([example, directory, split, out], check=True)
    with open(out) as lines:
        return sorted(lines.read().splitlines())


def cases(place, n):
    """Yields a name, the directory and split that we are given, what paths are relative to, and files."""
    made = {split: datasets.Dataset.from_generator(rows, features=FEATURES, cache_dir=os.path.join(place, split),
                                                   gen_kwargs={"n": n, "seed": seed})
            for seed, split in enumerate(["train", "test"])}
    saved = os.path.join(place, "saved")
    datasets.DatasetDict(made).save_to_disk(saved, num_shards={"train": 3, "test": 1})
    for split in made:
        folder = os.path.join(saved, split)
        files = [os.path.join(folder, file) for file in os.listdir(folder) if file.endswith(".arrow")]
        yield "save_to_disk, " + split, saved, split, folder, files
    cached = made["train"].cache_files[0]["filename"]
    yield "cache", os.path.dirname(cached), "train", os.path.dirname(cached), [cached]

    table = made["train"].data.table
    large = table.schema.field("image").type
    large = pa.struct([(field.name, pa.large_binary() if field.name == "bytes" else field.type) for field in large])
    large = table.cast(table.schema.set(table.schema.get_field_index("image"), pa.field("image", large)))
    for name, content in [("binary", table), ("large_binary", large)]:
        folder = os.path.join(place, name)
        os.mkdir(folder)
        file = os.path.join(folder, "train.feather")
        feather.write_feather(content, file, compression="uncompressed", chunksize=7)
        yield "Feather of " + name, folder, "train", folder, [file]


def main(example, n=50):
    differ = 0
    with tempfile.TemporaryDirectory() as place:
        for name, directory, split, base, files in cases(place, int(n)):
            expected, found = theirs(files, base), ours(example, directory, split, os.path.join(place, "out"))
            differ += expected != found
            print("%-24s %d files, %d rows: %s" % (name, len(files), len(expected),
                                                   "equal" if expected == found else "DIFFER"))
    sys.exit(differ > 0)


if __name__ == "__main__":
    datasets.disable_progress_bars()
    main(*sys.argv[1:])
