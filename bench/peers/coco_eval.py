"""Evaluates a results file with pycocotools or hotcoco, for `cargo xtask bench coco`.

usage: coco_eval.py pycocotools|hotcoco TRUTH RESULTS boxes|masks [--stats]
With `--stats` it prints the twelve numbers as a JSON list. Otherwise it prints `ready`, and for each line on stdin
evaluates the files from the disk to the numbers and prints the seconds it took.
"""
import contextlib
import io
import json
import sys
import time

library, truth, results, compare = sys.argv[1:5]
if library == "pycocotools":
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval
else:
    from hotcoco import COCO, COCOeval


def stats():
    with contextlib.redirect_stdout(io.StringIO()):
        ground_truth = COCO(truth)
        evaluation = COCOeval(ground_truth, ground_truth.loadRes(results), "bbox" if compare == "boxes" else "segm")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return [float(number) for number in evaluation.stats]


if sys.argv[5:] == ["--stats"]:
    print(json.dumps(stats()))
else:
    print("ready", flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        stats()
        print("%.6f" % (time.perf_counter() - start), flush=True)
