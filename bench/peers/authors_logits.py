"""Writes weights and calibrated logits of the MutualNet authors' own code, on the CPU.

usage: authors_logits.py CHECKOUT NETWORK FOLDER save|load
`save` writes random weights the way their train.py does (authors.pt, and authors_legacy.pt in the format of the PyTorch
that they used), and the logits for FOLDER/images.safetensors. `load` makes their loader read FOLDER/ours.pt and writes
the logits. Their files are neither edited nor copied. Only what a machine without a GPU cannot do is replaced: `.cuda()`
returns its object, and our data loader and test loop are used instead of theirs.
"""
import os
import sys
import tempfile

from networks import NETWORKS

checkout, network, folder, action = sys.argv[1:]
checkout, folder = os.path.abspath(checkout), os.path.abspath(folder)
SUBNETS = NETWORKS[network]["subnets"]

sys.argv[1:] = ["app:" + os.path.join(checkout, "apps", NETWORKS[network]["settings"])]
sys.path.insert(0, checkout)
os.chdir(tempfile.mkdtemp())  # their code creates its log folder in the working directory
sys.stdout = sys.stderr  # they print their settings

import torch
from safetensors.torch import load_file, save_file

torch.Tensor.cuda = lambda self, *args, **kwargs: self
torch.nn.Module.cuda = lambda self, *args, **kwargs: self

import ComputePostBN
from utils.config import FLAGS

# A width that is not in this list has no statistics in their code.
FLAGS.width_mult_list = sorted({width for width, _ in SUBNETS})
FLAGS.profiling = None

import train as authors


def images():
    tensors = load_file(os.path.join(folder, "images.safetensors"))
    batches = [([tensors[name]], None) for name in sorted(tensors) if name.startswith("calibrate.")]
    return batches, tensors["test"]


def logits(model):
    """As their `test` does it, on given images in a given order."""
    batches, test = images()
    out = {}
    with torch.no_grad():
        for width, resolution in SUBNETS:
            model.apply(lambda m: setattr(m, "width_mult", width))
            # All batches are taken: they stop after one more than `num_batch`.
            model = ComputePostBN.ComputeBN(model, batches, resolution, num_batch=len(batches))
            size = (resolution, resolution)
            resized = torch.nn.functional.interpolate(test, size, mode="bilinear", align_corners=True)
            out["%s-%d" % (width, resolution)] = model(resized).contiguous()
    return out


def save():
    authors.set_random_seed()
    model = torch.nn.DataParallel(authors.get_model())
    # Scales and shifts begin as ones and zeros, which would hide a mistake.
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d) and module.affine:
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.uniform_(module.bias, -0.3, 0.3)
    optimizer = authors.get_optimizer(model)
    checkpoint = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "last_epoch": 0}
    torch.save(checkpoint, os.path.join(folder, "authors.pt"))
    legacy = os.path.join(folder, "authors_legacy.pt")
    torch.save(checkpoint, legacy, _use_new_zipfile_serialization=False)
    save_file(logits(model), os.path.join(folder, "authors_logits.safetensors"))


def load():
    """Their `train_val_test` loads the weights; in place of their test loop we look at what it loaded."""
    FLAGS.pretrained = os.path.join(folder, "ours.pt")
    FLAGS.test_only = True
    loaded = []
    authors.get_dataset = lambda: ([], [])
    authors.test = lambda epoch, loader, model, criterion, postloader: loaded.append(model)
    authors.train_val_test()
    (model,) = loaded
    given = torch.load(FLAGS.pretrained)["model"]
    state = model.state_dict()
    for name, tensor in given.items():
        assert torch.equal(state[name], tensor), "their loader put another tensor into " + name
    save_file(logits(model), os.path.join(folder, "reverse_logits.safetensors"))


torch.manual_seed(0)
{"save": save, "load": load}[action]()
