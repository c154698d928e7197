"""Loads clips of video files as normalized batches on one core, the way users of torchcodec and PyAV do.

usage: clip_loading.py torchcodec|pyav DIRECTORY FRAMES STRIDE SIDE
The program prints `ready`. For each line `step FIRST N` on stdin it makes one clip of each of the files FIRST to
FIRST + N - 1 of the directory (sorted, starting over at the end): it opens the file, decodes FRAMES frames at distances
of STRIDE from a random start, takes one random crop of all of them as RandomResizedCrop(SIDE) does, flips and normalizes.
It prints the seconds that this took.
"""
import ctypes
import glob
import os
import random
import sys
import time

import torch
from torchvision.transforms import v2

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def load_cuda_libraries():
    """The wheel of torchcodec on PyPI is for CUDA, and needs these even where it decodes on the CPU."""
    for name in ("nppc", "nppicc"):
        for library in glob.glob(os.path.join(torch.__path__[0], "../nvidia/*/lib/lib%s.so.*" % name)):
            ctypes.CDLL(library, mode=ctypes.RTLD_GLOBAL)


def torchcodec(path, choose):
    from torchcodec.decoders import VideoDecoder

    # The mode that its documentation recommends for speed, which takes frame rates for constant.
    decoder = VideoDecoder(path, num_ffmpeg_threads=1, seek_mode="approximate")
    return decoder.get_frames_at(choose(decoder.metadata.num_frames)).data


def pyav(path, choose):
    import av

    with av.open(path) as container:
        stream = container.streams.video[0]
        stream.thread_count = 1
        wanted = choose(stream.frames)
        ticks = 1 / (stream.average_rate * stream.time_base)
        start = stream.start_time or 0
        times = [start + round(number * ticks) for number in wanted]
        container.seek(times[0], stream=stream)
        chosen, left = [], set(times)
        for frame in container.decode(stream):
            if frame.pts in left:
                chosen.append(torch.from_numpy(frame.to_ndarray(format="rgb24")))
                left.remove(frame.pts)
                if not left:
                    break
    assert not left, "frames %s of %s were not found" % (sorted(left), path)
    return torch.stack(chosen).permute(0, 3, 1, 2)


def main():
    name, directory, (frames, stride, side) = sys.argv[1], sys.argv[2], map(int, sys.argv[3:])
    torch.set_num_threads(1)
    load_cuda_libraries()
    decode = {"torchcodec": torchcodec, "pyav": pyav}[name]
    files = sorted(os.path.join(directory, file) for file in os.listdir(directory) if not file.startswith("."))
    transform = v2.Compose(
        [
            v2.RandomResizedCrop(side, antialias=True),
            v2.RandomHorizontalFlip(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(MEAN, STD),
        ]
    )

    def choose(n_frames):
        start = random.randint(0, n_frames - 1 - stride * (frames - 1))
        return list(range(start, start + stride * frames, stride))

    random.seed(1)
    torch.manual_seed(1)
    print("ready", flush=True)
    for line in sys.stdin:
        word, first, n = line.split()
        assert word == "step", line
        begun = time.perf_counter()
        numbers = range(int(first), int(first) + int(n))
        batch = torch.stack([transform(decode(files[i % len(files)], choose)) for i in numbers])
        seconds = time.perf_counter() - begun
        assert batch.shape == (int(n), frames, 3, side, side), batch.shape
        print("%.6f" % seconds, flush=True)


if __name__ == "__main__":
    main()
