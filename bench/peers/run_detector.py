"""Runs one of torchvision's detectors with the weights of a bundle, in turn with ours.

usage: run_detector.py PROGRAM THREADS BUNDLE
    PROGRAM   torchvision, or onnxruntime, which runs torchvision's own export of it
    BUNDLE    has one row, of full width

Images are normalized squares of the row's side, so torchvision's resizing has nothing to do and is left out; everything else is
torchvision's, unedited, from the backbone to pasted masks.

Protocol: prints `ready`. For `outputs FROM TO` it runs the image of FROM (f32, [h, w, 3]) and writes what it finds to TO, an
array of {"class", "score", "box", "pixels"}. For `step N` it runs the same image once, then N times, and prints the mean seconds
of the N.
"""
import json
import os
import sys
import time

PROGRAM, THREADS, BUNDLE = sys.argv[1:]
THREADS = int(THREADS)
# Threads that wait for work must not slow down the next program in turn.
os.environ.update(OMP_NUM_THREADS=str(THREADS), KMP_BLOCKTIME="5")

import numpy as np  # noqa: E402
import torch  # noqa: E402
import detectors  # noqa: E402


def torchvision():
    torch.set_num_threads(THREADS)
    model = detectors.of_bundle(BUNDLE).to(memory_format=torch.channels_last)

    def run(image):
        with torch.inference_mode():
            (found,) = model([torch.from_numpy(image)])
        return {name: tensor.numpy() for name, tensor in found.items()}

    return run


def onnxruntime():
    import onnxruntime as ort

    model = detectors.of_bundle(BUNDLE)
    side = model.transform.max_size
    image = torch.randn(3, side, side, generator=torch.manual_seed(1))
    with torch.inference_mode():
        names = list(model([image])[0])
        path = f"{BUNDLE}.onnx"
        torch.onnx.export(
            model, ([image],), path, opset_version=17, input_names=["image"], output_names=names, dynamo=False,
            dynamic_axes={name: {0: "n"} for name in names},
        )
    options = ort.SessionOptions()
    options.intra_op_num_threads = THREADS
    options.inter_op_num_threads = 1
    # It warns of every mask that is added.
    options.log_severity_level = 3
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda image: dict(zip(names, session.run(names, {"image": image})))


def written(found):
    masks = found.get("masks")
    pixels = [None] * len(found["scores"]) if masks is None else [int((mask > 0.5).sum()) for mask in masks]
    rows = zip(found["labels"].tolist(), found["scores"].tolist(), found["boxes"].tolist(), pixels)
    return [dict(zip(("class", "score", "box", "pixels"), row)) for row in rows]


def main():
    run = {"torchvision": torchvision, "onnxruntime": onnxruntime}[PROGRAM]()
    image = None
    print("ready", flush=True)
    for line in sys.stdin:
        words = line.split()
        if words[0] == "outputs":
            hwc = np.fromfile(words[1], np.float32)
            side = round((len(hwc) / 3) ** 0.5)
            image = np.ascontiguousarray(hwc.reshape(side, side, 3).transpose(2, 0, 1))
            with open(words[2], "w") as file:
                json.dump(written(run(image)), file)
            print(0, flush=True)
        else:
            n = int(words[1])
            run(image)
            start = time.perf_counter()
            for _ in range(n):
                run(image)
            print("%.9f" % ((time.perf_counter() - start) / n), flush=True)


main()
