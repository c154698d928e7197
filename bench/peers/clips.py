"""Times a network that reads clips in our runtime and in pytorchvideo, in turn, after comparing their outputs.

    cargo build --release -p mutualnet-cli --no-default-features
    cargo run --release -p mutualnet-runtime --example made_up_bundle x3d_xs x3d_xs.mnb 1.0-160-4
    python bench/peers/clips.py target/release/mutualnet x3d_xs.mnb

needs torch 2.11.0, pytorchvideo 0.1.5, safetensors and numpy. The bundle has one row, of width 1.
PyTorch runs as it is (eager), and as TorchScript that was frozen and optimized for inference; both with channels last and
channels first. Each program runs one clip on one thread for about 0.3 s before it is the next one's turn, for ROUNDS rounds.
A ratio is the median over rounds of a program's time divided by ours, so above 1 we are faster.
"""

import argparse
import pathlib
import statistics
import subprocess
import tempfile
import time

import numpy as np
import torch
from pytorchvideo.models.resnet import create_resnet
from pytorchvideo.models.x3d import create_x3d
from safetensors import safe_open
from safetensors.torch import load_file

CLASSES, TURN, TOLERANCE = 1000, 0.3, 1e-3


class Ours:
    """Answers requests on stdin, as `mutualnet bench runtime --lockstep` explains."""

    def __init__(self, args):
        command = [args.mutualnet, "bench", "runtime", args.bundle, "--lockstep", "--threads", "1"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n"

    def ask(self, request):
        self.process.stdin.write(request + "\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def output(self, clip, folder):
        clip.permute(0, 2, 3, 4, 1).contiguous().numpy().tofile(f"{folder}/clip")
        self.ask(f"outputs {folder}/clip {folder}/output")
        return torch.from_numpy(np.fromfile(f"{folder}/output", np.float32))

    def seconds(self, n):
        return self.ask(f"step {n}")


class Theirs:
    def __init__(self, model, clip):
        self.model, self.clip = model, clip

    def output(self):
        with torch.inference_mode():
            return self.model(self.clip).flatten()

    def seconds(self, n):
        self.output()
        start = time.perf_counter()
        for _ in range(n):
            self.output()
        return (time.perf_counter() - start) / n


def network(name, frames, side):
    """As in crates/nn/golden/clips/make.py."""
    if name.startswith("slow_"):
        pool = (frames, side // 32, side // 32)
        return create_resnet(
            model_depth=50, model_num_class=CLASSES, stem_conv_kernel_size=(1, 7, 7), head_pool_kernel_size=pool
        )
    return create_x3d(
        input_clip_length=frames, input_crop_size=side, model_num_class=CLASSES, head_activation=None
    )


def exported(args, folder):
    """The module of the bundle's row, and its frames and side."""
    path = f"{folder}/row.safetensors"
    subprocess.run([args.mutualnet, "export", args.bundle, "-o", path], check=True, stdout=subprocess.DEVNULL)
    with safe_open(args.bundle, "pt") as file:
        row = next(name for name in file.keys() if name.startswith("rows/")).split("/")[1]
    width, side, frames = row.split("-")
    if float(width) != 1:
        raise SystemExit(f"row {row} is narrower than pytorchvideo's network")
    model = network(args.network or pathlib.Path(args.bundle).stem, int(frames), int(side))
    missing, unexpected = model.load_state_dict(load_file(path), strict=False)
    assert not unexpected and all(name.endswith("num_batches_tracked") for name in missing), (missing, unexpected)
    return model.eval(), [int(frames), int(side), int(side)]


def peers(model, clip):
    frozen = lambda model, clip: torch.jit.optimize_for_inference(torch.jit.freeze(torch.jit.trace(model, clip)))
    with torch.no_grad():
        result = {"eager": Theirs(model, clip), "frozen": Theirs(frozen(model, clip), clip)}
        clip = clip.to(memory_format=torch.channels_last_3d)
        model = model.to(memory_format=torch.channels_last_3d)
        result["eager, channels last"] = Theirs(model, clip)
        result["frozen, channels last"] = Theirs(frozen(model, clip), clip)
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mutualnet")
    parser.add_argument("bundle")
    parser.add_argument("--network", help="by default the name of the bundle's file")
    parser.add_argument("--rounds", type=int, default=15)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(1)
    with tempfile.TemporaryDirectory() as folder:
        model, extent = exported(args, folder)
        clip = torch.randn(1, 3, *extent)
        ours, theirs = Ours(args), peers(model, clip)
        expected = ours.output(clip, folder)
        for name, program in theirs.items():
            off = ((program.output() - expected).abs().max() / expected.abs().max()).item()
            if not off <= TOLERANCE:
                raise SystemExit(f"{name} differs from ours by {off} of the largest output")
            print(f"{name}: outputs within {off:.1e} of the largest one of ours")
        programs = {"ours": ours, **theirs}
        runs = {name: max(1, round(TURN / program.seconds(1))) for name, program in programs.items()}
        times = {name: [] for name in programs}
        for _ in range(args.rounds):
            for name, program in programs.items():
                times[name].append(program.seconds(runs[name]))
    for name, seconds in times.items():
        ratio = statistics.median(a / b for a, b in zip(seconds, times["ours"]))
        print(f"{name:22} {1e3 * statistics.median(seconds):8.1f} ms {ratio:6.2f}")


main()
