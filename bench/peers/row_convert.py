"""Converts a bundle of one row for the programs that `run_row.py` runs, into files beside it.

usage: row_convert.py BUNDLE

`row.onnx` has a fixed size and any number of images; of a network that segments, at full width, it is torchvision's own
model if it has it. `row.ts` is the traced module; `row.ncnn.param` and `row.ncnn.bin` are what pnnx makes of it. A stamp keeps files that were made from the same bundle by the same scripts.
"""
import hashlib
import pathlib
import sys


def stamp_of(bundle):
    here = pathlib.Path(__file__).parent
    sha = hashlib.sha256(bundle.read_bytes())
    for script in ("row_convert.py", "row_network.py"):
        sha.update((here / script).read_bytes())
    return sha.hexdigest()


def convert(bundle):
    import pnnx
    import torch

    from row_network import Row, torchvisions

    directory = bundle.parent
    row = Row(bundle)
    image = torch.zeros(1, 3, row.side, row.side)
    published = torchvisions(bundle)
    if published is not None:
        noise = torch.randn(image.shape, generator=torch.manual_seed(1))
        with torch.inference_mode():
            ours, theirs = row(noise), published(noise)
        assert (ours - theirs).abs().max() < 1e-4 * theirs.abs().max(), "torchvision's model answers otherwise"
    with torch.inference_mode():
        traced = torch.jit.trace(row, image, check_trace=False)
        traced.save(directory / "row.ts")
        torch.onnx.export(
            row if published is None else published, (image,), directory / "row.onnx", opset_version=17,
            input_names=["images"], output_names=["output"],
            dynamic_axes={"images": {0: "n"}, "output": {0: "n"}}, dynamo=False,
        )
    pnnx.convert(str(directory / "row.ts"), inputs=image, fp16=False)


def main(bundle):
    bundle = pathlib.Path(bundle)
    stamp = bundle.parent / "stamp"
    wanted = stamp_of(bundle)
    if not stamp.exists() or stamp.read_text() != wanted:
        convert(bundle)
        stamp.write_text(wanted)


main(*sys.argv[1:])
