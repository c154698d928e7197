#!/usr/bin/env bash
# Compares our training step on an NVIDIA GPU with a tuned PyTorch one. It uses the libraries of the PyTorch that is
# installed there; nothing is built or downloaded.
# usage: bench/gpu.sh [BINARY [BATCH...]]     (default: target/release/mutualnet, batches 64 and 256)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
binary=${1:-$here/../target/release/mutualnet}
shift || true
batches=("$@")
[ ${#batches[@]} -gt 0 ] || batches=(64 256)

source "$here/gpu_libraries.sh"

# Both do the same steps: 3 to warm up, and 20 that count.
requests=$(python3 - <<'END'
import random
draw = random.Random(1)
for _ in range(23):
    widths = sorted([draw.randint(250, 1000), draw.randint(250, 1000), 250], reverse=True)
    print("step", *["%g-%d" % (w / 1000, draw.choice([224, 192, 160, 128])) for w in widths])
END
)

median() {
    grep -v ready | tail -n 20 | sort -g | sed -n 10p
}

for batch in "${batches[@]}"; do
    for round in 1 2 3; do
        ours=$("$binary" bench train --lockstep --device cuda --batch "$batch" <<<"$requests" | median)
        tuned=$(PYTHONDONTWRITEBYTECODE=1 python3 "$here/peers/tuned_step.py" 4 "$batch" cuda <<<"$requests" | median)
        echo "batch $batch round $round: ours $ours s, tuned PyTorch $tuned s per mutual step"
    done
done
