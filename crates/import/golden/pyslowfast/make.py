"""Writes the names and shapes of the learned tensors in PySlowFast's checkpoints of its networks that we have.

    python make.py SLOWFAST      (torch 2.11.0, pytorchvideo 0.1.5)

SLOWFAST is a checkout of github.com/facebookresearch/SlowFast; NAME.json is written into the script's own folder, with
shapes by name. What its networks do not need (detectron2 and the like) is replaced by empty modules.
"""

import importlib.abc
import importlib.machinery
import json
import pathlib
import sys
import types
from unittest import mock

import torch

# Packages and modules that the networks do not need; of pytorchvideo, what 0.1.5 lacks.
REPLACED = (
    "detectron2", "simplejson", "psutil", "cv2", "sklearn", "scipy", "pandas", "matplotlib", "tensorboard", "moviepy",
    "skimage", "slowfast.datasets", "slowfast.visualization", "pytorchvideo.layers.distributed", "pytorchvideo.losses",
)
# The other networks of a family have the same tensors.
CONFIGURATIONS = {
    "slow_r50": ("SLOW_8x8_R50.yaml", "ResNet"),
    "slowfast_r50_4x16": ("SLOWFAST_4x16_R50.yaml", "SlowFast"),
    "slowfast_r50_8x8": ("SLOWFAST_8x8_R50.yaml", "SlowFast"),
    "x3d": ("X3D_M.yaml", "X3D"),
}


class Empty(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds a module of that has every attribute for each of these packages."""

    def find_spec(self, name, path=None, target=None):
        if any(name == replaced or name.startswith(replaced + ".") for replaced in REPLACED):
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec):
        module = types.ModuleType(spec.name)
        module.__getattr__ = lambda attribute: mock.MagicMock()
        return module

    def exec_module(self, module):
        pass


def main(slowfast):
    sys.meta_path.insert(0, Empty())
    sys.path.insert(0, slowfast)
    from slowfast.config.defaults import get_cfg
    from slowfast.models import video_model_builder

    for name, (file, network) in CONFIGURATIONS.items():
        cfg = get_cfg()
        cfg.merge_from_file(str(pathlib.Path(slowfast) / "configs/Kinetics" / file))
        cfg.NUM_GPUS = 0
        model = getattr(video_model_builder, network)(cfg)
        shapes = {path: list(tensor.shape) for path, tensor in model.named_parameters()}
        lines = [f"{json.dumps(path)}: {shape}" for path, shape in shapes.items()]
        (pathlib.Path(__file__).parent / f"{name}.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


main(*sys.argv[1:])
