"""Computes timm's loss for mixed images, as the reference for `Tensor::mixed_cross_entropy`.

    python make.py > expected.txt   (torch 2.11.0, timm 1.0.31)

The lines are logits (4 images of 5 classes), first labels, second labels and shares of the first label, then the mean
loss and its gradient without label smoothing, and both with a smoothing of 0.1.
"""

import torch
from timm.data.mixup import mixup_target
from timm.loss import SoftTargetCrossEntropy

torch.manual_seed(0)
logits = torch.randn(4, 5) * 3
labels = torch.tensor([2, 0, 4, 2])
shares = torch.tensor([0.3, 1.0, 0.0, 0.8125])
lines = [logits, labels, labels.flip(0), shares]
for smoothing in (0.0, 0.1):
    target = mixup_target(labels, 5, shares.unsqueeze(1), smoothing)
    leaf = logits.clone().requires_grad_()
    loss = SoftTargetCrossEntropy()(leaf, target)
    loss.backward()
    lines += [loss.detach(), leaf.grad]
for numbers in lines:
    print(*[repr(number) for number in numbers.reshape(-1).tolist()])
