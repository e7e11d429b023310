"""Large JPEGs decoded at a reduced scale, or read from prepared copies: how much sooner, and what it changes.

    python benchmarks/decoding.py [--rounds 5] [--pictures 200] [--sizes 40 224] [--data ../shared/data]

The first table: a photograph of so many megapixels, made larger from a real one, read and turned into a view. *whole*
decodes all pixels, *reduced* as few as the view allows. *prepared* reads a copy that was made before (`--prepared`);
*read* is the part of it without the view. Times are CPU times of one thread, medians of alternating rounds.

The second table: photographs of one class in ten. Features of pretrained lite0, compared with those of the whole
picture: mean cosine, and Recall@1. *bicubic* resizes the whole picture with another filter, as a measure of what does
not matter. *centre* is the view of evaluation; *crop* is the smallest of training, here in the middle. A view of 40
pixels is of the files as they are, about 200 pixels wide; that of 224 pixels is of the
same, made eight times larger and saved again, since large photographs are not among the data.
"""

from __future__ import annotations

import argparse
import io
import itertools
import math
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from bier.data import TestTransform, TrainTransform, open_source, read_image
from bier.data.images import MARGIN, Filter, resize
from bier.data.plain_copy import read_copy, write_copy
from bier.data.prepared import CopyView
from bier.network.create import create_backbone
from bier.network.folded import InferenceBackbone

SMALL, LARGE, LARGER = 40, 224, 8


def enlarged(path: Path, width: int, height: int) -> bytes:
    """A photograph as a JPEG of that size."""
    file = io.BytesIO()
    with Image.open(path) as picture:
        picture.convert("RGB").resize((width, height), Image.Resampling.BICUBIC).save(file, "JPEG", quality=90)
    return file.getvalue()


def views(content: bytes, size: int, copy: Path) -> dict[str, Callable[[], Tensor]]:
    """The ways to a view in evaluation, and those to one in training."""
    test, train = TestTransform(size), TrainTransform(size)
    seeded = torch.Generator()
    write_copy(copy, prepared(content, size))
    return {
        "read": lambda: read_copy(str(copy)),
        "prepared": lambda: test(read_copy(str(copy))),
        "train prepared": lambda: train(read_copy(str(copy)), seeded.manual_seed(0)),
        "whole": lambda: test(read_image(content)),
        "reduced": lambda: test(read_image(content, view=test)),
        "train whole": lambda: train(read_image(content), seeded.manual_seed(0)),
        "train reduced": lambda: train(read_image(content, view=train), seeded.manual_seed(0)),
    }


def prepared(content: bytes, size: int) -> Tensor:
    """The pixels of a copy."""
    view = CopyView(TrainTransform(size))
    return view(read_image(content, view=view))


def milliseconds(ways: dict[str, Callable[[], Tensor]], rounds: int) -> dict[str, float]:
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            began = time.process_time()
            way()
            times[name].append(1000 * (time.process_time() - began))
    return {name: statistics.median(values) for name, values in times.items()}


def region(image: Tensor, of: str) -> Tensor:
    """The square in the middle that evaluation sees, or the smallest region of training, of the picture's own shape."""
    height, width = image.shape[1:]
    share = 1 / MARGIN if of == "centre" else math.sqrt(TrainTransform(LARGE).crop_scale)
    high, wide = (min(height, width),) * 2 if of == "centre" else (height, width)
    high, wide = round(high * share), round(wide * share)
    top, left = (height - high) // 2, (width - wide) // 2
    return image[:, top : top + high, left : left + wide]


def resized(image: Tensor, size: int, filter: Filter = "bilinear") -> Tensor:
    return resize(image, size, size, filter)


def ways(content: bytes, size: int, of: str) -> dict[str, Tensor]:
    """A view of each kind."""
    view = TestTransform(size) if of == "centre" else TrainTransform(size)
    whole = region(read_image(content), of)
    return {
        "whole": resized(whole, size),
        "reduced": resized(region(read_image(content, view=view), of), size),
        "prepared": resized(region(prepared(content, size), of), size),
        "bicubic": resized(whole, size, "bicubic"),
    }


def recall(features: Tensor, labels: Tensor) -> float:
    similarity = (features @ features.T).fill_diagonal_(-1)
    return 100 * float((labels[similarity.argmax(1)] == labels).float().mean())


def compare(source: Path, count: int, size: int, of: str) -> dict[str, tuple[float, float]]:
    """Mean cosine to the features of the whole picture, and Recall@1, of each way."""
    manifest = open_source(source)
    codes = torch.from_numpy(manifest.codes())
    chosen = [row for row in range(len(manifest)) if codes[row] % 10 == 0][:count]
    network = InferenceBackbone(create_backbone("efficientnet_lite0"))
    found: dict[str, list[Tensor]] = defaultdict(list)
    for row in chosen:
        path = manifest.path(row)
        content = path.read_bytes() if size == SMALL else enlarged(path, *_larger(path))
        made = ways(content, size, of)
        with torch.inference_mode():
            for way, feature in zip(made, network(torch.stack(list(made.values()))), strict=True):
                found[way].append(F.normalize(feature, dim=0))
    features = {name: torch.stack(values) for name, values in found.items()}
    whole = features["whole"]
    return {name: (float((each * whole).sum(1).mean()), recall(each, codes[chosen])) for name, each in features.items()}


def _larger(path: Path) -> tuple[int, int]:
    with Image.open(path) as picture:
        return picture.width * LARGER, picture.height * LARGER


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--pictures", type=int, default=200)
    parser.add_argument("--sizes", type=int, nargs="*", default=[SMALL, LARGE], help="of the second table's views")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    photograph = min((arguments.data / "cub100" / "images").rglob("*.jpg"))
    print("| megapixels | view | whole, ms | reduced, ms | ratio | prepared, ms | read, ms |")
    print("|---|---|---|---|---|---|---|")
    for width, height in ((2000, 1500), (4000, 3000), (8000, 6000)):
        content = enlarged(photograph, width, height)
        for size in (128, 224):
            with tempfile.TemporaryDirectory() as folder:
                ms = milliseconds(views(content, size, Path(folder) / "copy"), arguments.rounds)
            for name, train in (("evaluation", ""), ("training", "train ")):
                whole, reduced, copied = (ms[f"{train}{way}"] for way in ("whole", "reduced", "prepared"))
                print(
                    f"| {width * height / 1e6:.0f} | {name}, {size} | {whole:.0f} | {reduced:.0f} "
                    f"| {reduced / whole:.2f} | {copied:.2f} | {ms['read']:.2f} |",
                    flush=True,
                )
    print("\n| photographs | size | view | way | cosine to whole | Recall@1 |")
    print("|---|---|---|---|---|---|")
    for name, size, of in itertools.product(("cub100", "cars196"), arguments.sizes, ("centre", "crop")):
        for way, (cosine, first) in compare(arguments.data / name, arguments.pictures, size, of).items():
            print(f"| {name} | {size} | {of} | {way} | {cosine:.4f} | {first:.1f} |", flush=True)


if __name__ == "__main__":
    main()
