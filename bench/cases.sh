#!/usr/bin/env bash
# Runs the product on a directory of small inputs on which it once failed, and checks what it says: one line per
# command, exit status 1 if one differs. The tests of the project make such inputs themselves; this is for the originals.
# usage: bench/cases.sh CASES [BINARY]
#   CASES   directory with one folder per case (bmp_only, junk_folders, ...)
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cases=${1:?CASES is missing} binary=${2:-$here/../target/release/mutualnet}
cases=$(cd "$cases" && pwd) binary=$(realpath "$binary")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cp -r "$cases" "$scratch/cases"
failed=0

# report WHAT STATUS WANTED_STATUS PATTERN OUTPUT
report() {
    if [[ $2 == "$3" ]] && grep -qE -- "$4" <<<"$5"; then
        echo "ok      $1"
    else
        failed=1
        printf 'FAILED  %s\n  exit status %s (wanted %s), and the output should match: %s\n' "$1" "$2" "$3" "$4"
        sed 's/^/  | /' <<<"$5"
    fi
}

# expect CASE STATUS PATTERN ARGS...: in the folder of the case, the command ends with STATUS and prints the PATTERN.
expect() {
    local case=$1 wanted=$2 pattern=$3 output
    shift 3
    output=$(cd "$scratch/cases/$case" && timeout 120 "$binary" "$@" 2>&1)
    report "$case: $*" "$?" "$wanted" "$pattern" "$output"
}

plan() { local case=$1 exit=$2 pattern=$3; shift 3; expect "$case" "$exit" "$pattern" plan tiny.toml --no-timing "$@"; }
into() { local case=$1 exit=$2 pattern=$3; shift 3; expect "$case" "$exit" "$pattern" import "$@" --network wide_resnet10_1 -o out.safetensors; }

plan bmp_only 1 '\.bmp'
# Every cost in the table, copied as it is printed, buys a row.
while read -r _ macs unit _; do
    expect budget_copied_from_table 0 '^row' table model.mnb --budget "$macs$unit"
done < <(cd "$scratch/cases/budget_copied_from_table" && "$binary" table model.mnb --all | tail -n +2)
for file in mmengine.pth lightning_attributedict.ckpt omegaconf.ckpt yacs.pth onecycle_old.pth torch_version.pth datetime.pth; do
    into import_leftovers 0 'not read|read over|never run|skipped' "$file"
done
into import_lightning 0 'prefix `model\.`' model_prefix.ckpt
into import_lightning 0 'prefix `net\.`' net_prefix.ckpt
into import_lightning 1 '--new-head' no_head.pth
into import_torch_reads_it 0 matched expanded.pth
into import_torch_reads_it 0 matched deflated.pth
into import_torch_reads_it 1 TorchScript torchscript.pt
for signal in INT=130 TERM=143; do
    cd "$scratch/cases/interrupt_exit_code" && rm -rf run
    "$binary" train tiny.toml train.epochs=20000 --out run >"$scratch/log" 2>&1 &
    process=$!
    sleep 4
    kill -"${signal%%=*}" "$process"
    wait "$process"
    report "interrupt_exit_code: SIG${signal%%=*}" "$?" "${signal##*=}" 'is saved' "$(cat "$scratch/log")"
done
plan junk_folder_one_split 0 '2 classes'
plan junk_folders 0 '24 training and 8 test images, 2 classes'
expect list_quirks 0 ' 0 broken' data check bom
plan list_quirks 1 header data.path=header
expect list_quirks 0 ' 0 broken' data check tabs
plan list_quirks 1 comma data.path=comma
expect non_utf8_folder 0 ' 0 broken' data check data
plan non_utf8_folder 0 'classes'
plan normalization_0_255 1 'divide by 255|0.485' 'data.mean=[123.675,116.28,103.53]' 'data.std=[58.395,57.12,57.375]'
plan parquet_missing_shard 1 'train-00001-of-00002'
expect predict_folder 0 'images/a.jpg' predict model.mnb images
expect predict_folder 0 'images/a.jpg' predict model.mnb 'images/*.jpg'
expect predict_one_broken 1 'broken.jpg' predict model.mnb a.jpg broken.jpg b.jpg
expect predict_one_broken 1 '"path":"b\.jpg"' predict model.mnb a.jpg broken.jpg b.jpg --json
plan recipe_hints 1 'train\.epochs' epochs=2
expect recipe_hints 1 'network' plan model.toml --no-timing
plan recipe_hints 1 'kind' data.augment.crop=center
plan recipe_hints 1 'gpu' train.device=gpu
plan recipe_hints 1 'nofile.pth' train.init=nofile.pth
expect recipe_hints 1 'mutualnet import' train tiny.toml train.init=w.pth --out run
plan recipe_hints 1 "$HOME/no-such-data" 'data.path=~/no-such-data'
plan recipe_hints 1 'train\.lr=0\.1' --train.lr=0.1
pointer=$'version https://git-lfs.github.com/spec/v1\noid sha256:0000000000000000000000000000000000000000000000000000000000000000\nsize 1\n'
images="$scratch/cases/stale_quarantine/data"
cp -r "$images" "$scratch/images"
find "$images" -name '*.jpg' -exec bash -c 'printf %s "$0" >"$1"' "$pointer" {} \;
expect stale_quarantine 1 'git lfs pull' data check data
cp -r "$scratch/images/." "$images/"
plan stale_quarantine 1 'leaves out all 24'
expect unnamed_formats 1 'Git LFS' predict model.mnb lfs.jpg
expect unnamed_formats 1 'HTML' predict model.mnb html.jpg
expect unnamed_formats 1 'HEIC' predict model.mnb heic.jpg
expect unnamed_formats 1 'GIF' predict model.mnb gif.jpg
expect unnamed_formats 1 'BMP' predict model.mnb bmp.jpg
into unnamed_formats 1 'Git LFS' lfs.pth
into unnamed_formats 1 'HTML' html.pth
into unnamed_formats 1 'ONNX' model.onnx
plan unnamed_formats 1 'Git LFS|HTML|Parquet'
if python3 - "$scratch/photo.jpg" <<'END' 2>/dev/null; then
import sys
from PIL import Image
Image.radial_gradient("L").resize((12000, 9000)).convert("RGB").save(sys.argv[1], quality=80)
END
    expect photo_108mp 0 'photo.jpg: (cat|dog)' predict model.mnb "$scratch/photo.jpg"
else
    failed=1
    echo 'FAILED  photo_108mp: python3 has no Pillow, which makes the photograph'
fi
exit $failed
