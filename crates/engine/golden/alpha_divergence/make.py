"""Computes AlphaNet's own loss for a few images, as the reference for `Tensor::alpha_divergence`.

Run from a checkout of github.com/facebookresearch/AlphaNet (torch 2.11.0):
    python make.py > expected.txt
The lines are the student's logits, the teacher's logits (4 images of 5 classes each), the values of the larger
divergence, and the gradient of the mean loss. With image 4 the ratio of probabilities reaches the clip.
"""

import os
import sys

import torch

sys.path.insert(0, os.getcwd())
from loss_ops import AdaptiveLossSoft, f_divergence  # noqa: E402

torch.manual_seed(0)
student = torch.randn(4, 5) * 3
teacher = torch.randn(4, 5) * 3
student[3] = torch.tensor([9.0, 0.0, 0.0, 0.0, -9.0])
student.requires_grad_()
AdaptiveLossSoft(alpha_min=-1.0, alpha_max=1.0, iw_clip=5.0)(student, teacher).backward()
values = [f_divergence(student, teacher, alpha, iw_clip=5.0)[0] for alpha in (-1.0, 1.0)]
for numbers in (student, teacher, torch.maximum(*values), student.grad):
    print(*[repr(number) for number in numbers.reshape(-1).tolist()])
