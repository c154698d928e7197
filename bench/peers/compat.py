"""Checks that checkpoints and logits agree with the authors' code, torchvision and timm.

usage: compat.py CHECKOUT PROGRAMS ZOO [PART...]
PROGRAMS is the folder with our `mutualnet` and the examples `calibrated_logits` and `first_weights`.
ZOO is a JSON file with what the zoo says about all networks: their names, and what torchvision and timm call them.
    into   imports random weights saved by the authors' code, and calibrates on the same images in the same order
    back   has the authors' own loader read our initial weights, and calibrates likewise
    others imports weights of torchvision and timm, and compares logits, or maps of scores, with batch statistics at full
           width
    sorted compares our logits before and after sorting the channels of the same weights
PART is NETWORK or NETWORK:into, NETWORK:back, torchvision[:NETWORK], timm[:NETWORK], sorted[:NETWORK]; all of them if
none is given.
A difference is the largest one between two logits, divided by the largest logit; the limits are 1e-3, and 1e-4 for
others. Prints one line per comparison to stderr and one JSON object to stdout; the exit status is 1 if a difference is
above its limit.
"""
import importlib.util
import inspect
import json
import os
import subprocess
import sys
import tempfile

import torch
from safetensors.torch import load_file, save_file

from networks import NETWORKS

HERE = os.path.dirname(os.path.abspath(__file__))
BATCHES, BATCH, TEST = 3, 8, 8
# timm flattens the last feature map within its own classifier, which therefore cannot be replaced by ours.
NOT_COMPARED = {("timm", "vgg16_bn")}
LIMIT, LIMIT_OTHERS = 1e-3, 1e-4


class Compat:
    def __init__(self, checkout, programs):
        self.checkout, self.programs, self.report = checkout, programs, {}

    def run(self, program, *arguments):
        subprocess.run([os.path.join(self.programs, program), *arguments], check=True, stdout=sys.stderr)

    def output(self, program, *arguments):
        command = [os.path.join(self.programs, program), *arguments]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout

    def authors(self, network, folder, action):
        script = os.path.join(HERE, "authors_logits.py")
        command = [sys.executable, "-B", script, self.checkout, network, folder, action]
        subprocess.run(command, check=True, stdout=sys.stderr)

    def compare(self, key, got, expected, limit):
        assert got.keys() == expected.keys(), (got.keys(), expected.keys())
        rows = {}
        for subnet in expected:
            scale = expected[subnet].abs().max()
            rows[subnet] = float((got[subnet] - expected[subnet]).abs().max() / scale)
        worst = max(rows.values())
        self.report[key] = {"limit": limit, "worst": worst, "rows": rows}
        print("%-32s %d rows, worst difference %.1e" % (key, len(rows), worst), file=sys.stderr, flush=True)


def write_images(folder, side, batches, exposure=False):
    """Smooth noise, because little of white noise would remain after resizing.

    With EXPOSURE every test image has a contrast and a brightness of its own: DeepLabV3 has a batch norm over the means of
    images, which would magnify rounding if these were nearly the same.
    """
    def noise(n):
        coarse = torch.randn(n, 3, side // 4, side // 4)
        fine = torch.nn.functional.interpolate(coarse, (side, side), mode="bilinear") + 0.5 * torch.randn(n, 3, side, side)
        return fine.contiguous()

    torch.manual_seed(1)
    tensors = {"calibrate.%d" % idx: noise(BATCH) for idx in range(batches)}
    tensors["test"] = noise(TEST)
    if exposure:
        contrast, brightness = torch.rand(TEST, 1, 1, 1), torch.rand(TEST, 3, 1, 1)
        tensors["test"] = tensors["test"] * (0.2 + contrast) + 2 * brightness - 1
    save_file(tensors, os.path.join(folder, "images.safetensors"))
    return tensors["test"]


def ours(compat, network, folder, weights):
    """Our calibrated logits at the sub-networks of the comparison."""
    out = os.path.join(folder, "ours_logits.safetensors")
    subnets = ["%s-%d" % subnet for subnet in NETWORKS[network]["subnets"]]
    images = os.path.join(folder, "images.safetensors")
    compat.run("examples/calibrated_logits", network, NETWORKS[network]["widths"], weights, images, out, *subnets)
    return load_file(out)


def into(compat, network, folder):
    at = lambda name: os.path.join(folder, name)
    write_images(folder, NETWORKS[network]["side"], BATCHES)
    compat.authors(network, folder, "save")
    for kind in ("authors", "authors_legacy"):
        arguments = ["--network", network, "--widths", NETWORKS[network]["widths"], "-o", at(kind + ".safetensors")]
        compat.run("mutualnet", "import", at(kind + ".pt"), *arguments)
    contents = [open(at(kind + ".safetensors"), "rb").read() for kind in ("authors", "authors_legacy")]
    assert contents[0] == contents[1], "the two formats of PyTorch gave different weights"
    got = ours(compat, network, folder, at("authors.safetensors"))
    compat.compare(network + ":into", got, load_file(at("authors_logits.safetensors")), LIMIT)


def back(compat, network, folder):
    at = lambda name: os.path.join(folder, name)
    write_images(folder, NETWORKS[network]["side"], BATCHES)
    widths, classes = NETWORKS[network]["widths"], str(NETWORKS[network]["classes"])
    compat.run("examples/first_weights", network, widths, classes, "7", at("ours.safetensors"))
    # Their loader goes by position. A safetensors file has no order; `inspect` lists the layers in that of the network.
    told = compat.output("mutualnet", "inspect", "network", network, "--json")
    paths = [layer["path"] for layer in json.loads(told)["layers"]]
    weights = load_file(at("ours.safetensors"))
    names = [path + end for path in paths for end in (".weight", ".bias") if path + end in weights]
    assert len(names) == len(weights)
    torch.save({"model": {"module." + name: weights[name] for name in names}}, at("ours.pt"))
    compat.authors(network, folder, "load")
    got = ours(compat, network, folder, at("ours.safetensors"))
    compat.compare(network + ":back", got, load_file(at("reverse_logits.safetensors")), LIMIT)


def others(zoo):
    """Their name of each of our networks that they have, by program; detectors have no logits of an image to compare."""
    torchvision = {told["name"]: told["name"] for told in zoo if told["torchvision"] and told["task"] != "detect"}
    timm = {told["name"]: told["timm"] for told in zoo if told["timm"] and ("timm", told["name"]) not in NOT_COMPARED}
    return {"torchvision": torchvision, "timm": timm}


def other(compat, source, theirs, network, folder):
    at = lambda name: os.path.join(folder, name)
    torch.manual_seed(0)
    if source == "torchvision":
        import torchvision

        # Networks that segment would otherwise download their backbone.
        segments = hasattr(torchvision.models.segmentation, theirs)
        more = {"weights_backbone": None} if segments else {}
        if "aux_loss" in inspect.signature(torchvision.models.get_model_builder(theirs)).parameters:
            more["aux_loss"] = True
        model = torchvision.models.get_model(theirs, **more)
    else:
        import timm

        segments, model = False, timm.create_model(theirs)
    if network == "vgg16_bn":  # with a classifier that does not depend on the resolution, as in ours
        model.avgpool, model.classifier = torch.nn.AdaptiveAvgPool2d(1), torch.nn.Linear(512, 1000)
    for module in model.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.uniform_(module.bias, -0.3, 0.3)
            if network == "mobilenet_v3_large":
                module.eps = 1e-3  # timm's default differs from torchvision's, which we use
    torch.save(model.state_dict(), at("other.pth"))
    test = write_images(folder, 224, 0, exposure=segments)
    model.train()
    for module in model.modules():
        if "Drop" in type(module).__name__ or "StochasticDepth" in type(module).__name__:
            module.eval()
    with torch.no_grad():
        expected = model(test)
    # A network that segments gives its maps by name.
    expected = {"1.0-224": expected["out"] if isinstance(expected, dict) else expected}
    compat.run("mutualnet", "import", at("other.pth"), "--network", network, "-o", at("other.safetensors"))
    arguments = [at("other.safetensors"), at("images.safetensors"), at("ours_logits.safetensors")]
    compat.run("examples/calibrated_logits", network, "1.0,1.0", *arguments, "1.0-224")
    compat.compare("%s:%s" % (source, network), load_file(at("ours_logits.safetensors")), expected, LIMIT_OTHERS)


def sorted_channels(compat, network, folder):
    """With batch statistics the order of channels does not matter, so the full network computes the same."""
    at = lambda name: os.path.join(folder, name)
    side = NETWORKS[network]["side"] if network in NETWORKS else 224
    write_images(folder, side, 0)
    compat.run("examples/first_weights", network, "1.0,1.0", "10", "7", at("plain.safetensors"))
    arguments = ["--network", network, "--sort-channels", "-o", at("sorted.safetensors")]
    compat.run("mutualnet", "import", at("plain.safetensors"), *arguments)
    logits = {}
    for kind in ("plain", "sorted"):
        arguments = [at(kind + ".safetensors"), at("images.safetensors"), at(kind + "_logits.safetensors")]
        compat.run("examples/calibrated_logits", network, "1.0,1.0", *arguments, "1.0-%d" % side)
        logits[kind] = load_file(at(kind + "_logits.safetensors"))
    compat.compare("sorted:" + network, logits["sorted"], logits["plain"], LIMIT_OTHERS)


def main(checkout, programs, zoo, *parts):
    compat = Compat(os.path.abspath(checkout), os.path.abspath(programs))
    steps = {network + ":into": (into, network) for network in NETWORKS}
    steps.update({network + ":back": (back, network) for network in NETWORKS})
    with open(zoo) as file:
        told = json.load(file)
    theirs, classify = others(told), {network["name"] for network in told if network["task"] == "classify"}
    for source, networks in theirs.items():
        if source == "torchvision" or importlib.util.find_spec("timm"):
            steps.update({"%s:%s" % (source, network): (other, source, name, network) for network, name in networks.items()})
        else:
            print("timm is not installed; skipping it", file=sys.stderr)
    names = [*NETWORKS, *(name for name in theirs["torchvision"] if name in classify - NETWORKS.keys())]
    steps.update({"sorted:" + network: (sorted_channels, network) for network in names})
    try:
        for key, (step, *arguments) in steps.items():
            if not parts or key in parts or key.split(":")[0] in parts:
                with tempfile.TemporaryDirectory() as folder:
                    step(compat, *arguments, folder)
    finally:
        # Report what was compared, even if a later comparison fails.
        print(json.dumps({"comparisons": compat.report, "conditions": {"torch": torch.__version__}}))
    sys.exit(any(row["worst"] > row["limit"] for row in compat.report.values()))


main(*sys.argv[1:])
