"""Runs one of torchvision's segmentation networks, with which ours is compared at width 1.

    python make.py FACTS      (torch 2.11.0, torchvision 0.26.0, numpy; `cargo xtask golden NETWORK` does this)

FACTS is a JSON file with the name; NAME.json is written into the script's own folder.
Weights and images come from `fill`, which the tests repeat, so the files contain only names, shapes and results.
It computes in double precision, with the statistics of the batch and without dropout.
    parameters   names and shapes, in torchvision's order
    macs         multiply-accumulates of convolutions for square images, by side
    outputs      shape, and every n-th number of the row-major output, at most 256
"""

import inspect
import json
import pathlib
import sys

import torch
import torchvision
from torchvision.models._utils import IntermediateLayerGetter

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "testkit/golden"))
from filled import conv_macs, every, fill, values

torch.set_default_dtype(torch.float64)

IMAGES = [4, 3, 48, 72]


def deeplab_mobilenet():
    """torchvision's head for an output stride of 16, behind the blocks of its MobileNetV2, whose last stage is dilated."""
    blocks = torchvision.models.mobilenet_v2(weights=None).features[:18]
    for block in blocks[14:]:
        depthwise = block.conv[1][0]
        depthwise.stride, depthwise.dilation, depthwise.padding = (1, 1), (2, 2), (2, 2)
    segmentation = torchvision.models.segmentation.deeplabv3
    backbone = IntermediateLayerGetter(blocks, {"17": "out"})
    return segmentation.DeepLabV3(backbone, segmentation.DeepLabHead(320, 21, (6, 12, 18)))


def network(name):
    if name == "deeplabv3_mobilenet_v2":
        return deeplab_mobilenet()
    build = getattr(torchvision.models.segmentation, name)
    aux = {"aux_loss": True} if "aux_loss" in inspect.signature(build).parameters else {}
    return build(weights=None, weights_backbone=None, **aux)


def main(facts):
    name = json.loads(pathlib.Path(facts).read_text())["name"]
    model = network(name)
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for idx, path in enumerate(sorted(parameters)):
            parameters[path].copy_(values(path, parameters[path], 1000 + idx))
    model.eval()
    macs = {side: conv_macs(model, lambda: model(torch.zeros(1, 3, side, side))) for side in (224, 100)}
    model.train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.eval()
    with torch.no_grad():
        outputs = model(fill(7, IMAGES) * 1.7)
    golden = {
        "network": name,
        "parameters": [[path, list(p.shape)] for path, p in parameters.items()],
        "macs": macs,
        "outputs": {key: {"shape": list(out.shape), "numbers": every(out)} for key, out in outputs.items()},
    }
    (pathlib.Path(__file__).parent / f"{name}.json").write_text(json.dumps(golden, indent=0) + "\n")
    print(name, sum(p.numel() for p in parameters.values()))


main(*sys.argv[1:])
