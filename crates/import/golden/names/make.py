"""Writes the names and shapes of the learned tensors in torchvision's and timm's checkpoints of one network.

    python make.py FACTS      (torch 2.11.0, torchvision 0.26.0, timm; `cargo xtask golden NETWORK` does this)

FACTS is a JSON file with the network's name and what torchvision and timm call it, if they have it; NAME.json is written
into the script's own folder, with shapes by name, by program.
"""

import json
import pathlib
import sys

import timm
import torch
import torchvision


def main(facts):
    facts = json.loads(pathlib.Path(facts).read_text())
    name = facts["name"]
    programs = {
        "torchvision": (torchvision.models.get_model, name if facts["torchvision"] else None),
        "timm": (timm.create_model, facts["timm"]),
    }
    lines = []
    for program, (make, theirs) in programs.items():
        if theirs is not None:
            with torch.device("meta"):
                model = make(theirs)
            shapes = {path: list(tensor.shape) for path, tensor in model.named_parameters()}
            lines.append(f"{json.dumps(program)}: {json.dumps(shapes)}")
    (pathlib.Path(__file__).parent / f"{name}.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


main(*sys.argv[1:])
