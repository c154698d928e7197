"""Runs one of torchvision's two-stage detectors, with which ours is compared at width 1.

    python make.py FACTS      (torch 2.11.0, torchvision 0.26.0, numpy; `cargo xtask golden NETWORK` does this)

FACTS is a JSON file with the name; NAME.json is written into the script's own folder.
Weights, images and regions come from `fill`, which the tests repeat, so the files contain only names, shapes and results.
It computes in double precision and with the statistics of the batch. Images are those that the backbone sees, normalized.
    parameters   names and shapes, in torchvision's order
    macs         multiply-accumulates of convolutions for square images, by side: backbone, pyramid and proposals
    region_macs  multiply-accumulates for one region, of linear layers and of the layers that draw masks
    outputs      of every map, and for six regions: shape, and every n-th number of the row-major output, at most 256
"""

import json
import pathlib
import sys

import torch
import torchvision

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "testkit/golden"))
from filled import conv_macs, every, fill, values

torch.set_default_dtype(torch.float64)

IMAGES = [4, 3, 160, 192]
REGIONS = [6, 256, 7, 7]
MASK_REGIONS = [6, 256, 14, 14]
CLASSES = 21


def maps(model, images):
    """The maps that regions are cut from, and those of proposals, before they are rearranged into lists of boxes."""
    features = model.backbone(images)
    objects, codes = model.rpn.head(list(features.values()))
    # Regions are not cut from the map that is pooled.
    named = {"features": [features[name] for name in features if name != "pool"], "objects": objects, "codes": codes}
    return {f"{name}.{idx}": out for name, outs in named.items() for idx, out in enumerate(outs)}


# Backbones of which torchvision has no detector by name: the layers at the end of the strides 4, 8, 16 and 32, and their channels.
BACKBONES = {
    "mobilenet_v2": {"3": 24, "6": 32, "13": 96, "17": 320},
    "vgg16_bn": {"13": 128, "23": 256, "33": 512, "43": 512},
}


def build(name):
    detection = torchvision.models.detection
    if hasattr(detection, name):
        return getattr(detection, name)(weights=None, weights_backbone=None, num_classes=CLASSES)
    kind, backbone = name.removesuffix("_fpn").split("_", 1)
    network = {"fasterrcnn": detection.FasterRCNN, "maskrcnn": detection.MaskRCNN}[kind]
    if backbone == "mobilenet_v3_large":
        # As `fasterrcnn_mobilenet_v3_large_fpn` is put together, with masks.
        without = detection.fasterrcnn_mobilenet_v3_large_fpn(weights=None, weights_backbone=None, num_classes=CLASSES)
        anchors = without.rpn.anchor_generator
        return network(without.backbone, CLASSES, rpn_anchor_generator=anchors, rpn_score_thresh=0.05)
    layers = torchvision.models.get_model(backbone, weights=None).features
    for layer in layers:
        # The batch norm behind it would remove it again.
        if isinstance(layer, torch.nn.Conv2d):
            layer.bias = None
    maps = {path: str(idx) for idx, path in enumerate(BACKBONES[backbone])}
    pyramid = detection.backbone_utils.BackboneWithFPN(layers, maps, list(BACKBONES[backbone].values()), 256)
    return network(pyramid, CLASSES)


def main(facts):
    name = json.loads(pathlib.Path(facts).read_text())["name"]
    model = build(name)
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for idx, path in enumerate(sorted(parameters)):
            parameters[path].copy_(values(path, parameters[path], 1000 + idx))
    model.eval()
    macs = {side: conv_macs(model, lambda: maps(model, torch.zeros(1, 3, side, side))) for side in (320, 100)}
    linear = [module for module in model.roi_heads.modules() if isinstance(module, torch.nn.Linear)]
    region_macs = sum(module.weight.numel() for module in linear)
    heads = model.roi_heads
    if heads.has_mask():
        draw = lambda regions: heads.mask_predictor(heads.mask_head(regions))
        region_macs += conv_macs(model, lambda: draw(torch.zeros(1, *MASK_REGIONS[1:])))
        region_macs += heads.mask_predictor.conv5_mask.weight.numel() * MASK_REGIONS[2] * MASK_REGIONS[3]
    model.train()
    with torch.no_grad():
        outputs = maps(model, fill(7, IMAGES) * 1.7)
        features = model.roi_heads.box_head(fill(8, REGIONS) * 1.7)
        outputs["scores"], outputs["codes"] = heads.box_predictor(features)
        if heads.has_mask():
            outputs["masks"] = draw(fill(9, MASK_REGIONS) * 1.7)
    golden = {
        "network": name,
        "parameters": [[path, list(p.shape)] for path, p in parameters.items()],
        "macs": macs,
        "region_macs": region_macs,
        "outputs": {key: {"shape": list(out.shape), "numbers": every(out)} for key, out in outputs.items()},
    }
    (pathlib.Path(__file__).parent / f"{name}.json").write_text(json.dumps(golden, indent=0) + "\n")
    print(name, sum(p.numel() for p in parameters.values()))


main(*sys.argv[1:])
