"""Writes names, shapes and MACs of torchvision's networks, with which the zoo's are compared at width 1.

    python make.py            (torch 2.11.0, torchvision 0.26.0; writes one JSON file per network into its own folder)

Forward hooks count as for the authors' networks (../macs/make.py): convolutions, linear layers and the elements that an
average pool reads. vgg16_bn is changed in the same way as the zoo's: its convolutions have no biases, because the batch
norms after them would remove those again, and its classifier is a global pool and one linear layer.
"""

import json
import pathlib

import torch
import torchvision

NAMES = ["resnet18", "resnet34", "resnet101", "resnet152", "vgg16_bn", "mobilenet_v3_large", "efficientnet_b0"]


def network(name):
    model = getattr(torchvision.models, name)(weights=None)
    if name == "vgg16_bn":
        for module in model.modules():
            if isinstance(module, torch.nn.Conv2d):
                module.bias = None
        model.avgpool, model.classifier = torch.nn.AdaptiveAvgPool2d(1), torch.nn.Linear(512, 1000)
    return model.eval()


def count(model, resolution):
    macs = 0

    def hook(module, inputs, output):
        nonlocal macs
        x = inputs[0][0]
        if isinstance(module, torch.nn.Conv2d):
            fan_in = x.shape[0] // module.groups
            macs += output[0].numel() * module.kernel_size[0] * module.kernel_size[1] * fan_in
        elif isinstance(module, torch.nn.Linear):
            macs += x.numel() * output[0].numel()
        elif isinstance(module, torch.nn.AdaptiveAvgPool2d):
            macs += x.numel()

    handles = [module.register_forward_hook(hook) for module in model.modules()]
    with torch.no_grad():
        model(torch.zeros(1, 3, resolution, resolution))
    for handle in handles:
        handle.remove()
    return macs


for name in NAMES:
    model = network(name)
    parameters = [json.dumps([path, list(p.shape)]) for path, p in model.named_parameters()]
    rows = [json.dumps({"width": 1.0, "resolution": r, "macs": count(model, r)}) for r in (224, 160, 75)]
    text = f'{{"network": "{name}", "parameters": [\n' + ",\n".join(parameters) + '\n], "rows": [\n' + ",\n".join(rows)
    (pathlib.Path(__file__).parent / f"{name}.json").write_text(text + "\n]}\n")
