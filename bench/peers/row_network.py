"""A row of a bundle as a PyTorch module, put together from the list of layers in its manifest.

It was written from docs/formats.md, so that other programs run the network without anything of ours in between.
"""
import json

import torch
import torch.nn as nn
import torch.nn.functional as F
from safetensors import safe_open

ACTIVATIONS = {
    "relu": nn.ReLU, "relu6": nn.ReLU6, "sigmoid": nn.Sigmoid, "hard_sigmoid": nn.Hardsigmoid, "swish": nn.SiLU,
    "hard_swish": nn.Hardswish,
}


class ResizeLike(nn.Module):
    """The first input at the size of the second one, which is fixed because the row is."""

    def __init__(self, mode, size):
        super().__init__()
        self.options = {"size": size, "mode": mode}
        if mode == "bilinear":
            self.options["align_corners"] = False

    def forward(self, x, _like):
        return F.interpolate(x, **self.options)


class Multiply(nn.Module):
    def forward(self, x, gate):
        return x * gate


class Add(nn.Module):
    def forward(self, x, y):
        return x + y


class Row(nn.Module):
    """The network of a bundle that has only one row, with batch norms folded into the convolutions before them.

    Shapes: `[n, 3, r, r]` to the first output, `[n, classes]` or `[n, classes, h, w]`.
    """

    def __init__(self, path):
        super().__init__()
        with safe_open(path, "pt") as file:
            manifest = json.loads(file.metadata()["manifest"])
            self.tensors = {name: file.get_tensor(name) for name in file.keys()}
        network = manifest["lists"]["main"]
        self.nodes = network["nodes"]
        (row,) = manifest["table"]["rows"]
        self.side = row["resolution"]
        self.subnet = next(n.split("/")[1] for n in self.tensors if n.startswith("rows/"))
        self.output = network["outputs"][0]["node"] if "outputs" in network else len(self.nodes) - 1
        self.sizes = self.sizes_of_nodes()
        self.layers = nn.ModuleList(self.layer(idx) for idx in range(len(self.nodes)))
        self.eval()
        self.fold_batch_norms()
        del self.tensors

    def op(self, idx):
        op = self.nodes[idx]["op"]
        return (op, None) if isinstance(op, str) else next(iter(op.items()))

    def sizes_of_nodes(self):
        sizes = []
        for idx, node in enumerate(self.nodes):
            name, op = self.op(idx)
            size = sizes[node["inputs"][0]] if node["inputs"] else (self.side, self.side)
            if name in ("conv", "max_pool", "avg_pool"):
                dilation = op.get("dilation", [1, 1, 1])
                size = tuple(
                    (size[a] + 2 * op["padding"][a + 1] - dilation[a + 1] * (op["kernel"][a + 1] - 1) - 1)
                    // op["stride"][a + 1] + 1
                    for a in (0, 1)
                )
            elif name == "global_pool":
                size = (1, 1)
            elif name == "resize_like":
                size = sizes[node["inputs"][1]]
            sizes.append(size)
        return sizes

    def layer(self, idx):
        name, op = self.op(idx)
        path = self.nodes[idx]["path"]
        if name == "conv":
            weight, bias = self.tensors[f"{path}.weight"], self.tensors.get(f"{path}.bias")
            groups = weight.shape[0] if op["groups"] == "depthwise" else 1
            conv = nn.Conv2d(
                weight.shape[1] * groups, weight.shape[0], tuple(op["kernel"][1:]), tuple(op["stride"][1:]),
                tuple(op["padding"][1:]), tuple(op.get("dilation", [1, 1, 1])[1:]), groups, bias is not None,
            )
            return filled(conv, weight, bias)
        if name == "linear":
            weight, bias = self.tensors[f"{path}.weight"], self.tensors[f"{path}.bias"]
            return filled(nn.Linear(weight.shape[1], weight.shape[0]), weight, bias)
        if name == "batch_norm":
            weight, bias = self.tensors[f"{path}.weight"], self.tensors[f"{path}.bias"]
            norm = filled(nn.BatchNorm2d(len(weight), op["eps"]), weight, bias)
            norm.running_mean.copy_(self.tensors[f"rows/{self.subnet}/{path}.running_mean"])
            norm.running_var.copy_(self.tensors[f"rows/{self.subnet}/{path}.running_var"])
            return norm
        if name == "activation":
            return ACTIVATIONS[op]()
        if name in ("max_pool", "avg_pool"):
            kind = {"max_pool": nn.MaxPool2d, "avg_pool": nn.AvgPool2d}[name]
            return kind(*(tuple(op[key][1:]) for key in ("kernel", "stride", "padding")))
        if name == "resize_like":
            return ResizeLike(op, self.sizes[idx])
        simple = {"input": nn.Identity, "add": Add, "multiply": Multiply, "global_pool": lambda: nn.AdaptiveAvgPool2d(1)}
        return simple[name]()

    def fold_batch_norms(self):
        for idx, node in enumerate(self.nodes):
            source = node["inputs"][0] if node["inputs"] else None
            readers = sum(other["inputs"].count(source) for other in self.nodes)
            if self.op(idx)[0] == "batch_norm" and self.op(source)[0] == "conv" and readers == 1:
                self.layers[source] = nn.utils.fuse_conv_bn_eval(self.layers[source], self.layers[idx])
                self.layers[idx] = nn.Identity()

    def forward(self, x):
        values = []
        for node, layer in zip(self.nodes, self.layers):
            inputs = [values[idx] for idx in node["inputs"]] or [x]
            if isinstance(layer, (nn.Conv2d, nn.Linear)) and len(inputs) > 1:
                inputs = [torch.cat(inputs, 1)]
            if isinstance(layer, nn.Linear):
                inputs = [inputs[0].flatten(1)]
            values.append(layer(*inputs))
        return values[self.output]


class Out(nn.Module):
    """The scores alone of a model of torchvision that segments."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        return self.model(x)["out"]


def torchvisions(path):
    """torchvision's own model with the numbers of a bundle that has only one row, of full width, if it is one of those that
    segment; else None."""
    from torchvision.models import segmentation

    with safe_open(path, "pt") as file:
        manifest = json.loads(file.metadata()["manifest"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}
    name = manifest["lists"]["main"]["name"]
    (row,) = manifest["table"]["rows"]
    if row["width"] != 1.0 or not hasattr(segmentation, name):
        return None
    classes = len(manifest["classes"])
    model = getattr(segmentation, name)(weights=None, weights_backbone=None, num_classes=classes, aux_loss=None)
    # Statistics lie at `rows/WIDTH-RESOLUTION/PATH`.
    state = {name.split("/", 2)[-1]: tensor for name, tensor in tensors.items()}
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected and all(name.endswith(".num_batches_tracked") for name in missing), (missing, unexpected)
    return Out(model).eval()


def filled(module, weight, bias):
    with torch.no_grad():
        module.weight.copy_(weight)
        if bias is not None:
            module.bias.copy_(bias)
    return module
