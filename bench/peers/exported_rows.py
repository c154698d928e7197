"""Runs exported ONNX files in other programs, and compares their outputs with our runtime's.

    python exported_rows.py PROGRAM ROWS NETWORK...

PROGRAM is our example `exported_rows`, which says what it writes. ROWS rows are compared of each network, each with several
batch sizes and, of networks that segment, image sizes. The programs are onnxruntime and, where it is installed, OpenVINO.
If torchvision is installed too, the row of full width of a segmentation network that it has is loaded into its network, that
is exported by PyTorch, and run in onnxruntime: nothing of ours is between the weights and these outputs.

Prints one line per network and program to stderr and one JSON object to stdout: the largest absolute difference between two
outputs, which go up to 1; where a narrow row's go further, in parts of the largest. The exit status is 1 if one is above the
limit, 1e-4.
"""
import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import onnxruntime
from safetensors.numpy import load_file

LIMIT = 1e-4
SEED = "1"


def cases(results):
    """Inputs and expected outputs, by the name of the output."""
    tensors = load_file(results)
    for case in sorted({name.split(".")[0] for name in tensors}):
        named = {name.split(".", 1)[1]: tensor for name, tensor in tensors.items() if name.startswith(case + ".")}
        yield named.pop("input"), named


def run_onnxruntime(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda images: dict(zip(names, session.run(None, {session.get_inputs()[0].name: images})))


def run_openvino(path):
    import openvino

    model = openvino.Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    names = [output.get_any_name() for output in model.outputs]
    return lambda images: {name: model(images)[name] for name in names}


def difference(run, results):
    worst = 0.0
    for images, expected in cases(results):
        got = run(images)
        assert got.keys() == expected.keys(), (got.keys(), expected.keys())
        for name, tensor in expected.items():
            assert got[name].shape == tensor.shape, (name, got[name].shape, tensor.shape)
            apart = np.abs(got[name].astype(np.float64) - tensor).max() / max(1.0, np.abs(tensor).max())
            worst = max(worst, float(apart) if np.isfinite(apart) else float("inf"))
    return worst


def torchvisions(network, folder):
    """torchvision's network with the weights and statistics of row 0, as PyTorch exports it; None if it has none."""
    import torch
    from safetensors.torch import load_file as load_torch
    from torchvision.models import segmentation

    if not hasattr(segmentation, network):
        return None
    model = getattr(segmentation, network)(weights=None, weights_backbone=None, num_classes=21).eval()
    model.load_state_dict(load_torch(folder / "0.state.safetensors"), strict=True)

    class Map(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, images):
            return self.model(images)["out"]

    path = folder / "torchvision.onnx"
    axes = {"input": {0: "n", 2: "h", 3: "w"}, "out": {0: "n", 2: "h", 3: "w"}}
    names = {"input_names": ["input"], "output_names": ["out"], "dynamic_axes": axes}
    torch.onnx.export(Map(), torch.zeros(1, 3, 64, 64), str(path), dynamo=False, **names)
    return path


def main(program, n_rows, *networks):
    programs = {"onnxruntime": run_onnxruntime}
    if importlib.util.find_spec("openvino"):
        programs["openvino"] = run_openvino
    report = {}

    def tell(network, name, worst):
        report.setdefault(network, {})[name] = worst
        print("%-28s %-24s %.1e" % (network, name, worst), file=sys.stderr, flush=True)

    for network in networks:
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            subprocess.run([os.path.abspath(program), network, n_rows, SEED, str(folder)], check=True)
            for name, run in programs.items():
                rows = range(int(n_rows))
                worst = [difference(run(folder / f"{row}.onnx"), folder / f"{row}.safetensors") for row in rows]
                tell(network, name, max(worst))
            if importlib.util.find_spec("torchvision") and importlib.util.find_spec("onnx"):
                path = torchvisions(network, folder)
                if path is not None:
                    worst = difference(run_onnxruntime(path), folder / "0.safetensors")
                    tell(network, "torchvision's export", worst)
    print(json.dumps({"limit": LIMIT, "largest_difference": report, "onnxruntime": onnxruntime.__version__}))
    sys.exit(any(worst > LIMIT for programs in report.values() for worst in programs.values()))


main(*sys.argv[1:])
