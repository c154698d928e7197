"""Runs one of pytorchvideo's networks on two clips, with which ours is compared at width 1.

    python make.py FACTS      (torch 2.11.0, pytorchvideo 0.1.5, numpy, on a CPU; `cargo xtask golden NETWORK` does this)

FACTS is a JSON file with the network's name, the frames and side of its clips, and frames, height and width of a second clip
("fast") that SlowFast reads; NAME.json is written into the script's own
folder.
Weights and clips come from `fill`, which the tests repeat, so the files contain only names, shapes and results.
It computes in double precision, with the statistics of the batch, without dropout, and without X3D's softmax.
The clips differ in contrast: of a batch whose samples are alike, the means behind a batch norm are all but constants, and so
are the logits.
    macs         multiply-accumulates of a clip: convolutions, the linear layer, and the elements that average pools read
    logits       of both clips, one after the other
    parameters   name, shape, Euclidean norm of the gradient of the cross entropy, every n-th number of it, at most 5
"""

import json
import math
import pathlib
import sys

import torch
import torch.nn.functional as F
from pytorchvideo.models import slowfast
from pytorchvideo.models.resnet import create_resnet
from pytorchvideo.models.x3d import create_x3d
from torch.utils._python_dispatch import TorchDispatchMode

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "testkit/golden"))
from filled import fill

torch.set_default_dtype(torch.float64)

ATEN = torch.ops.aten
CLASSES, LABELS, CONTRASTS, KEPT = 10, [3, 7], [1.7, 0.4], 5


def network(name, frames, side, fast):
    """The hub's models (pytorchvideo/models/hub). Those of Slow-only and SlowFast are for 8 frames, and differ for 4 in their
    pools; that of SlowFast also in its lateral convolutions, as in configs/Kinetics/SLOWFAST_4x16_R50.yaml of PySlowFast. ResNet-14 is
    ours: one block per stage."""
    if name.startswith("slowfast_"):
        layers = int(name.split("_")[1].removeprefix("r"))
        slowfast._MODEL_STAGE_DEPTH[14] = (1, 1, 1, 1)
        taps, stride = {4: (5, 8), 8: (7, 4)}[frames]
        pools = ((frames, side // 32, side // 32), (fast[0], fast[1] // 32, fast[2] // 32))
        return slowfast.create_slowfast(
            model_depth=layers,
            model_num_class=CLASSES,
            dropout_rate=0,
            slowfast_fusion_conv_kernel_size=(taps, 1, 1),
            slowfast_fusion_conv_stride=(stride, 1, 1),
            head_pool_kernel_sizes=pools,
        )
    if name.startswith("slow_"):
        pool = (frames, side // 32, side // 32)
        return create_resnet(
            model_depth=50, model_num_class=CLASSES, dropout_rate=0, stem_conv_kernel_size=(1, 7, 7), head_pool_kernel_size=pool
        )
    more = {"model_num_class": CLASSES, "dropout_rate": 0, "head_activation": None}
    return create_x3d(input_clip_length=frames, input_crop_size=side, **more)


def values(module, name, shape, seed):
    if isinstance(module, torch.nn.BatchNorm3d):
        scale, mean = (0.1, 0.4) if name == "weight" else (0.3, 1.0)
    elif name == "bias":
        scale, mean = 0.1, 0
    elif isinstance(module, torch.nn.Linear):
        scale, mean = 0.05, 0
    else:
        scale, mean = (6 / (math.prod(shape[2:]) * shape[0])) ** 0.5, 0
    return fill(seed, shape) * scale + mean


class Count(TorchDispatchMode):
    macs = 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        output = operation(*args, **(kwargs or {}))
        if operation is ATEN.convolution.default:
            self.macs += output.numel() * args[1][0].numel()
        elif operation is ATEN.addmm.default:
            self.macs += output.numel() * args[1].shape[1]
        elif operation in (ATEN.mean.dim, ATEN.avg_pool3d.default):
            # The last pool of all reads a single position, and is none.
            self.macs += args[0].numel() if args[0].shape[2:].numel() > 1 else 0
        return output


def main(facts):
    facts = json.loads(pathlib.Path(facts).read_text())
    name, frames, side, fast = facts["name"], facts["frames"], facts["side"], facts["fast"]
    model = network(name, frames, side, fast).train()
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for idx, path in enumerate(sorted(parameters)):
            module, _, last = path.rpartition(".")
            shape = tuple(parameters[path].shape)
            parameters[path].copy_(values(model.get_submodule(module), last, shape, 1000 + idx))
    clips = lambda seed, extent: fill(seed, (2, 3, *extent)) * torch.tensor(CONTRASTS).reshape(2, 1, 1, 1, 1)
    slow = clips(7, (frames, side, side))
    with Count() as counted:
        # A list, which pytorchvideo changes.
        logits = model([slow, clips(8, fast)] if fast else slow)
    macs = counted.macs // 2
    F.cross_entropy(logits, torch.tensor(LABELS)).backward()
    digits = lambda numbers: [float(f"{number:.6g}") for number in numbers]
    golden = {"network": name, "frames": frames, "side": side, "macs": macs, "logits": digits(logits.flatten().tolist())}
    some = lambda flat: flat[:: max(1, flat.numel() // KEPT)][:KEPT].tolist()
    rows = [
        [path, list(p.shape), digits([p.grad.norm().item()])[0], digits(some(p.grad.flatten()))]
        for path, p in parameters.items()
    ]
    text = json.dumps(golden)[:-1] + ', "parameters": [\n' + ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows) + "\n]}\n"
    (pathlib.Path(__file__).parent / f"{name}.json").write_text(text)
    print(name, macs, golden["logits"])


main(*sys.argv[1:])
