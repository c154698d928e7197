"""Writes names, shapes and MACs of one of torchvision's networks, with which the zoo's is compared at width 1.

    python make.py FACTS      (torch 2.11.0, torchvision 0.26.0; `cargo xtask golden NETWORK` does this)

FACTS is a JSON file with the name; NAME.json is written into the script's own folder.
MACs are counted as for the authors' networks (../macs/make.py): convolutions, linear layers and the elements that an
average pool reads, whether that is a module or a mean over all positions.
vgg16_bn is changed in the same way as the zoo's: its convolutions have no biases, because the batch norms after them would
remove those again, and its classifier is a global pool and one linear layer.
"""

import json
import pathlib
import sys

import torch
import torchvision
from torch.utils._python_dispatch import TorchDispatchMode

ATEN = torch.ops.aten
SIDES = 224, 160, 75


def network(name):
    model = torchvision.models.get_model(name)
    if name == "vgg16_bn":
        for module in model.modules():
            if isinstance(module, torch.nn.Conv2d):
                module.bias = None
        model.avgpool, model.classifier = torch.nn.AdaptiveAvgPool2d(1), torch.nn.Linear(512, 1000)
    return model.eval()


class Count(TorchDispatchMode):
    """Counts the operations themselves, so that it does not matter what calls them."""

    macs = 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        output = operation(*args, **(kwargs or {}))
        if operation is ATEN.convolution.default:
            self.macs += output.numel() * args[1][0].numel()
        elif operation is ATEN.addmm.default:
            self.macs += output.numel() * args[1].shape[1]
        elif operation in (ATEN.mean.dim, ATEN._adaptive_avg_pool2d.default):
            self.macs += args[0].numel()
        return output


def count(model, side):
    with torch.no_grad(), Count() as counted:
        model(torch.zeros(1, 3, side, side))
    return counted.macs


def main(facts):
    name = json.loads(pathlib.Path(facts).read_text())["name"]
    model = network(name)
    parameters = [json.dumps([path, list(p.shape)]) for path, p in model.named_parameters()]
    rows = [json.dumps({"width": 1.0, "resolution": side, "macs": count(model, side)}) for side in SIDES]
    text = f'{{"network": "{name}", "parameters": [\n' + ",\n".join(parameters) + '\n], "rows": [\n' + ",\n".join(rows)
    (pathlib.Path(__file__).parent / f"{name}.json").write_text(text + "\n]}\n")


main(*sys.argv[1:])
