"""torchvision's detectors, on images that are prepared, and with what a bundle of ours holds."""
import json

import torch
from safetensors import safe_open
from torchvision.models import detection
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.transform import GeneralizedRCNNTransform


class Prepared(GeneralizedRCNNTransform):
    """Takes images and targets as they are."""

    def forward(self, images, targets=None):
        return ImageList(torch.stack(images), [tuple(image.shape[-2:]) for image in images]), targets


def build(name, n_classes, side):
    """A detector with random weights for normalized squares of a side."""
    model = getattr(detection, name)(weights=None, weights_backbone=None, num_classes=n_classes)
    model.transform = Prepared(side, side, [0.0] * 3, [1.0] * 3)
    return model


def of_bundle(path):
    """The detector of a bundle that has one row, of full width, with its weights and statistics."""
    with safe_open(path, "pt") as file:
        manifest = json.loads(file.metadata()["manifest"])
        # Statistics lie at `rows/WIDTH-RESOLUTION/PATH`.
        state = {name.split("/", 2)[-1]: file.get_tensor(name) for name in file.keys()}
    (row,) = manifest["table"]["rows"]
    model = build(manifest["lists"]["main"]["name"], len(manifest["classes"]), row["resolution"])
    # Layers whose input is a flattened map are convolutions of one position in a bundle.
    flat = {name for name, tensor in model.state_dict().items() if tensor.dim() == 2}
    state = {name: tensor.flatten(1) if name in flat else tensor for name, tensor in state.items()}
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected and all(name.endswith(".num_batches_tracked") for name in missing), (missing, unexpected)
    return model.eval()
