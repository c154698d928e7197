"""Checkpoints as PyTorch writes them, small ones.

    python make.py            (torch 2.11.0, numpy, safetensors)

Writes beside itself, for the small network of the test kit (32 channels, 5 classes):
    authors.pt          as the authors' train.py saves: `module.` prefixes, statistics per listed width, optimizer state
    authors_legacy.pt   the same in the format before PyTorch 1.6
    views.pt            two state dicts beside settings; half and double precision, channels-last memory, transposed
                        views, parameters, several tensors in one storage
    plain.safetensors   bfloat16, no prefix
    hostile.pt          names a function to be called
Weights come from `fill`, which the tests repeat; its numbers are exact in half precision and bfloat16.
"""

import argparse
import collections
import os
import pathlib

import numpy as np
import torch
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).parent
SHAPES = {
    "features.0.0.weight": (32, 3, 3, 3),
    "features.0.1.weight": (32,),
    "features.0.1.bias": (32,),
    "features.1.body.0.weight": (32, 1, 3, 3),
    "features.1.body.1.weight": (32,),
    "features.1.body.1.bias": (32,),
    "features.1.body.3.weight": (32, 32, 1, 1),
    "features.1.body.4.weight": (32,),
    "features.1.body.4.bias": (32,),
    "features.2.0.weight": (48, 32, 1, 1),
    "features.2.1.weight": (48,),
    "features.2.1.bias": (48,),
    "classifier.0.weight": (5, 48),
    "classifier.0.bias": (5,),
}


def fill(idx, shape):
    n = int(np.prod(shape))
    return torch.tensor((np.arange(n) * 37 + idx * 11) % 97 - 48, dtype=torch.float32).reshape(shape) / 64


def learned():
    return {name: fill(idx, shape) for idx, (name, shape) in enumerate(SHAPES.items())}


def authors(tensors):
    """Adds what their model has beside it: a list of statistics per norm, a plain one in the last."""
    state = collections.OrderedDict()
    for name, tensor in tensors.items():
        state["module." + name] = tensor
        if name.endswith(".1.bias") or name.endswith(".4.bias"):
            path = "module." + name.removesuffix("bias")
            for part in [""] if name.startswith("features.2") else ["bn.0.", "bn.1."]:
                state[path + part + "running_mean"] = torch.zeros_like(tensor)
                state[path + part + "running_var"] = torch.ones_like(tensor)
                state[path + part + "num_batches_tracked"] = torch.tensor(0)
    state._metadata = {"": {"version": 1}}
    groups = [{"lr": 0.5, "momentum": 0.9, "nesterov": True, "params": [idx]} for idx in range(len(tensors))]
    momentum = {1: {"momentum_buffer": torch.zeros(32)}}
    return {"model": state, "optimizer": {"state": momentum, "param_groups": groups}, "last_epoch": 7}


def views(tensors):
    state = collections.OrderedDict()
    norms = [name for name, tensor in tensors.items() if tensor.dim() == 1]
    shared = torch.cat([torch.zeros(3)] + [tensors[name] for name in norms])
    at = 3
    for name, tensor in tensors.items():
        if name in norms:
            state[name] = shared[at : at + len(tensor)]
            at += len(tensor)
        elif tensor.dim() == 4:
            state[name] = tensor.contiguous(memory_format=torch.channels_last)
        else:
            state[name] = torch.nn.Parameter(tensor.t().contiguous().t())
    state["features.2.0.weight"] = tensors["features.2.0.weight"].half()
    state["features.1.body.0.weight"] = tensors["features.1.body.0.weight"].double()
    average = {"n_averaged": torch.tensor(3), "module.classifier.0.bias": torch.zeros(5)}
    settings = argparse.Namespace(lr=0.1, path=pathlib.PurePosixPath("data").name, sizes=[224, 192])
    return {"args": settings, "best": np.float64(0.5), "state_dict_ema": average, "state_dict": state, "epoch": 3}


class Call:
    def __reduce__(self):
        return os.system, ("echo this must never run",)


def main():
    tensors = learned()
    torch.save(authors(tensors), HERE / "authors.pt")
    torch.save(authors(tensors), HERE / "authors_legacy.pt", _use_new_zipfile_serialization=False)
    torch.save(views(tensors), HERE / "views.pt")
    torch.save({"model": {"a": torch.zeros(1)}, "extra": Call()}, HERE / "hostile.pt")
    save_file({name: tensor.bfloat16() for name, tensor in tensors.items()}, HERE / "plain.safetensors")


main()
