"""Counts the exact MACs and parameters of the authors' networks at every width and resolution of their grids.

Run from a checkout of github.com/taoyang1122/MutualNet (torch 2.11.0), once per network:
    python make.py mobilenet_v1 > mobilenet_v1.json
Forward hooks count by the definition of the authors' utils/model_profiling.py. That counts average pooling only if it is a
module; wideresnet calls it as a function, which counts here as well.
`parameters` lists the learnable tensors in order, with their shapes at the full width.
"""

import importlib
import json
import os
import sys

import torch

name = sys.argv[1]
sys.path.insert(0, os.getcwd())
sys.argv = [sys.argv[0], f"app:apps/{name}.yml"]
from utils.config import FLAGS  # noqa: E402

low = {"mobilenet_v1": 25, "mobilenet_v2": 70, "resnet50": 90, "wideresnet": 90}[name]
widths = [percent / 100 for percent in range(low, 101, 5)]
FLAGS.width_mult_list = widths
FLAGS.width_mult_range = [widths[0], widths[-1]]
model = importlib.import_module(FLAGS.model).Model(FLAGS.num_classes, input_size=FLAGS.image_size).eval()

macs = 0


def count(module, inputs, output):
    global macs
    x = inputs[0][0]
    if isinstance(module, torch.nn.Conv2d):
        fan_in = 1 if module.groups > 1 else x.shape[0]
        macs += output[0].numel() * module.kernel_size[0] * module.kernel_size[1] * fan_in
    elif isinstance(module, torch.nn.Linear):
        macs += x.numel() * output[0].numel()
    elif isinstance(module, torch.nn.AdaptiveAvgPool2d):
        macs += x.numel()


def pool(x, output_size):
    count(torch.nn.AdaptiveAvgPool2d(1), [x], None)
    return x.mean((2, 3), keepdim=True)


if name == "wideresnet":
    importlib.import_module(FLAGS.model).F.adaptive_avg_pool2d = pool
for module in model.modules():
    module.register_forward_hook(count)
rows = []
with torch.no_grad():
    for width in widths:
        for resolution in FLAGS.resolution_list:
            macs = 0
            model.apply(lambda m: setattr(m, "width_mult", width))
            model.train()(torch.zeros(2, 3, resolution, resolution))
            rows.append({"width": width, "resolution": resolution, "macs": macs})
parameters = [[path, list(p.shape)] for path, p in model.named_parameters()]
print(f'{{"network": "{name}", "parameters": [')
print(",\n".join(json.dumps(parameter) for parameter in parameters))
print('], "rows": [')
print(",\n".join(json.dumps(row) for row in rows))
print("]}")
