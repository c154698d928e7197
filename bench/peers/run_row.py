"""Runs a converted row in another program, in turn with ours.

usage: run_row.py PROGRAM PRECISION BATCH THREADS DIRECTORY
    PROGRAM     onnxruntime, openvino, ncnn or torch
    PRECISION   f32 or bf16
    DIRECTORY   what row_convert.py has written

Protocol: prints `ready`. For `outputs FROM TO` it runs the images of FROM (f32, [n, h, w, 3]) and writes the output to TO
(f32, channels last). For `step N` it runs the same images once, then N times, and prints the mean seconds of the N.
"""
import os
import sys
import time

PROGRAM, PRECISION, BATCH, THREADS, DIRECTORY = sys.argv[1:]
BATCH, THREADS = int(BATCH), int(THREADS)
# Threads that wait for work must not slow down the next program in turn.
os.environ.update(OMP_NUM_THREADS=str(THREADS), KMP_BLOCKTIME="5", OMP_WAIT_POLICY="passive" if THREADS == 1 else "")
if not os.environ["OMP_WAIT_POLICY"]:
    del os.environ["OMP_WAIT_POLICY"]

import numpy as np  # noqa: E402


def onnxruntime():
    import onnxruntime as ort

    if PRECISION != "f32":
        sys.exit("onnxruntime has no bf16 on the CPU")
    options = ort.SessionOptions()
    options.intra_op_num_threads = THREADS
    options.inter_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    session = ort.InferenceSession(f"{DIRECTORY}/row.onnx", options, providers=["CPUExecutionProvider"])
    return lambda images: session.run(None, {"images": images})[0]


def openvino():
    import openvino as ov

    core = ov.Core()
    model = core.read_model(f"{DIRECTORY}/row.onnx")
    shape = list(model.input(0).partial_shape)
    model.reshape([BATCH] + [int(str(n)) for n in shape[1:]])
    config = {
        "PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": THREADS, "NUM_STREAMS": 1,
        "INFERENCE_PRECISION_HINT": {"f32": ov.Type.f32, "bf16": ov.Type.bf16}[PRECISION],
    }
    request = core.compile_model(model, "CPU", config).create_infer_request()

    def run(images):
        return request.infer([images], share_inputs=True, share_outputs=True)[0]

    return run


def ncnn():
    """It runs one image at a time."""
    import ncnn

    net = ncnn.Net()
    net.opt.num_threads = THREADS
    net.opt.use_vulkan_compute = False
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    net.opt.use_bf16_storage = PRECISION == "bf16"
    net.load_param(f"{DIRECTORY}/row.ncnn.param")
    net.load_model(f"{DIRECTORY}/row.ncnn.bin")

    def one(image):
        extractor = net.create_extractor()
        extractor.set_num_threads(THREADS) if hasattr(extractor, "set_num_threads") else None
        extractor.input("in0", ncnn.Mat(image))
        return np.array(extractor.extract("out0")[1])

    return lambda images: np.stack([one(image) for image in images])


def torch():
    import torch

    torch.set_num_threads(THREADS)
    kind = {"f32": torch.float32, "bf16": torch.bfloat16}[PRECISION]
    model = torch.jit.load(f"{DIRECTORY}/row.ts").eval().to(kind).to(memory_format=torch.channels_last)
    with torch.inference_mode():
        model = torch.jit.optimize_for_inference(torch.jit.freeze(model))

    def run(images):
        with torch.inference_mode():
            images = torch.from_numpy(images).to(kind).to(memory_format=torch.channels_last)
            return model(images).float().numpy()

    return run


def main():
    run = globals()[PROGRAM]()
    images = None
    print("ready", flush=True)
    for line in sys.stdin:
        words = line.split()
        if words[0] == "outputs":
            nhwc = np.fromfile(words[1], np.float32)
            side = round((len(nhwc) / BATCH / 3) ** 0.5)
            images = np.ascontiguousarray(nhwc.reshape(BATCH, side, side, 3).transpose(0, 3, 1, 2))
            output = np.asarray(run(images), np.float32)
            if output.ndim == 4:
                output = output.transpose(0, 2, 3, 1)
            np.ascontiguousarray(output).tofile(words[2])
            print(0, flush=True)
        else:
            n = int(words[1])
            run(images)
            start = time.perf_counter()
            for _ in range(n):
                run(images)
            print("%.9f" % ((time.perf_counter() - start) / n), flush=True)


main()
