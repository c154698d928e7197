"""Times mutual steps of the MutualNet authors' own code, as published, on the CPU.

usage: authors_step.py CHECKOUT NETWORK THREADS BATCH
It runs `train` of their train.py, unedited, on their network with their settings file for it, `apps/NETWORK.yml`. Only
what a machine without a GPU cannot do is replaced: `.cuda()` returns its object. The random draws are those of the
driver, and periodic logging is turned off, so that only the step is timed.
"""
import os
import sys
import tempfile
import time

import protocol

checkout, network, (threads, batch) = os.path.abspath(sys.argv[1]), sys.argv[2], map(int, sys.argv[3:])
sys.argv[1:] = ["app:" + os.path.join(checkout, "apps", network + ".yml")]
sys.path.insert(0, checkout)
os.chdir(tempfile.mkdtemp())  # their code creates its log folder in the working directory
stdout, sys.stdout = sys.stdout, sys.stderr  # they print their settings

import torch

torch.set_num_threads(threads)
torch.Tensor.cuda = lambda self, *args, **kwargs: self
torch.nn.Module.cuda = lambda self, *args, **kwargs: self

import train as authors

sys.stdout = stdout
RESOLUTIONS = authors.FLAGS.resolution_list
authors.FLAGS.print_freq = 1 << 60


class Batches:
    """Their loader, as far as `train` sees it: yields one batch per step and times what happens between."""

    def __init__(self):
        torch.manual_seed(0)
        image = torch.randn(batch, 3, 224, 224)
        self.images = [
            torch.nn.functional.interpolate(image, (r, r), mode="bilinear", align_corners=True)
            for r in RESOLUTIONS
        ]
        self.target = torch.randint(0, authors.FLAGS.num_classes, (batch,))

    def __len__(self):
        return 1 << 60

    def __iter__(self):
        # `train` logs in its first iteration; that one is the warm-up.
        draw([(0.9, 224), (0.5, 192), (0.25, 160)])
        yield self.images, self.target
        for students in protocol.plans():
            draw(students)
            start = time.perf_counter()
            yield self.images, self.target
            protocol.report(time.perf_counter() - start)


def draw(students):
    """Lets their code draw these values from its generators; the smallest width it adds by itself."""
    widths = [width for width, _ in students[:2]]
    indices = iter([RESOLUTIONS.index(resolution) for _, resolution in students])
    authors.np.random.uniform = lambda low, high, n: widths
    authors.random.randint = lambda low, high: next(indices)


def main():
    model = torch.nn.DataParallel(authors.get_model())
    optimizer = authors.get_optimizer(model)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 1000000)
    authors.train(0, Batches(), model, torch.nn.CrossEntropyLoss(), optimizer, schedule)


main()
