#!/usr/bin/env bash
# Trains WRN-28-10 on CIFAR-10 with the methods mutual and plain on an NVIDIA GPU, and prints the accuracy and the images
# per second of both, for docs/benchmarks.md. It uses the libraries of the PyTorch that is installed there.
# usage: bench/gpu_cifar.sh DATA OUT [EPOCHS [BINARY]]
#   DATA    image folder with train/ and test/, or cifar-10-batches-bin
#   OUT     directory for the runs; an interrupted call can be resumed
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
data=${1:?DATA is missing} out=${2:?OUT is missing} epochs=${3:-5} binary=${4:-$here/../target/release/mutualnet}
source "$here/gpu_libraries.sh"

for method in mutual plain; do
    "$binary" train "$here/../recipes/cifar10_wide_resnet28_10.toml" "train.method=$method" "train.epochs=$epochs" \
        "train.warmup_epochs=1" "data.path=$data" --out "$out/$method" --resume
    "$binary" tabulate "$out/$method"
    python3 - "$out/$method" <<'END'
import json, statistics, sys
run = sys.argv[1]
steps = [json.loads(line) for line in open(f"{run}/events.jsonl")]
speeds = [step["images_per_s"] for step in steps if step["event"] == "step"]
full = max((row for row in json.load(open(f"{run}/table.json"))["rows"]), key=lambda row: row["macs"])
accuracy = full["quality"]
print(f"{run}: {statistics.median(speeds):.0f} images/s (median of {len(speeds)} steps), "
      f"full network {100 * accuracy['value']:.2f} % ({100 * accuracy['low']:.2f}-{100 * accuracy['high']:.2f})")
END
done
"$binary" compare "plain=$out/plain" "mutual=$out/mutual"
