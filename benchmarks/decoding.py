"""Large JPEGs decoded at a reduced scale: how much sooner, and what it changes.

    python benchmarks/decoding.py [--rounds 5] [--pictures 200] [--data ../shared/data]

The first table: a photograph of so many megapixels, made larger from a real one, read and turned into a view. *whole*
decodes all pixels, *reduced* as few as the view allows. Times are CPU times of one thread, medians of alternating
rounds.

The second table: photographs of one class in ten. Features of pretrained lite0, compared with those of the whole
picture: mean cosine, and Recall@1. *bicubic* resizes the whole picture with another filter, as a measure of what does
not matter. A view of 40 pixels is of the files as they are, about 200 pixels wide; that of 224 pixels is of the
same, made eight times larger and saved again, since large photographs are not among the data.
"""

from __future__ import annotations

import argparse
import io
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from bier.data import TestTransform, TrainTransform, open_source, read_image
from bier.network.create import create_backbone
from bier.network.folded import InferenceBackbone

SMALL, LARGE, LARGER = 40, 224, 8


def enlarged(path: Path, width: int, height: int) -> bytes:
    """A photograph as a JPEG of that size."""
    file = io.BytesIO()
    with Image.open(path) as picture:
        picture.convert("RGB").resize((width, height), Image.Resampling.BICUBIC).save(file, "JPEG", quality=90)
    return file.getvalue()


def views(content: bytes, size: int) -> dict[str, Callable[[], Tensor]]:
    """The two ways to a view in evaluation, and those to one in training."""
    test, train = TestTransform(size), TrainTransform(size)
    seeded = torch.Generator()
    return {
        "whole": lambda: test(read_image(content)),
        "reduced": lambda: test(read_image(content, view=test)),
        "train whole": lambda: train(read_image(content), seeded.manual_seed(0)),
        "train reduced": lambda: train(read_image(content, view=train), seeded.manual_seed(0)),
    }


def milliseconds(ways: dict[str, Callable[[], Tensor]], rounds: int) -> dict[str, float]:
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            began = time.process_time()
            way()
            times[name].append(1000 * (time.process_time() - began))
    return {name: statistics.median(values) for name, values in times.items()}


def bicubic(content: bytes, size: int) -> Tensor:
    """The view of `TestTransform` with another filter."""
    image = read_image(content)
    side = round(min(image.shape[1:]) / (256 / 224))
    top, left = (image.shape[1] - side) // 2, (image.shape[2] - side) // 2
    cut = image[:, top : top + side, left : left + side]
    return F.interpolate(cut[None], (size, size), mode="bicubic", antialias=True)[0]


def recall(features: Tensor, labels: Tensor) -> float:
    similarity = (features @ features.T).fill_diagonal_(-1)
    return 100 * float((labels[similarity.argmax(1)] == labels).float().mean())


def compare(source: Path, count: int, size: int) -> dict[str, tuple[float, float]]:
    """Mean cosine to the features of the whole picture, and Recall@1, of each way."""
    manifest = open_source(source)
    codes = torch.from_numpy(manifest.codes())
    chosen = [row for row in range(len(manifest)) if codes[row] % 10 == 0][:count]
    network = InferenceBackbone(create_backbone("efficientnet_lite0"))
    test = TestTransform(size)
    found: dict[str, list[Tensor]] = {"whole": [], "reduced": [], "bicubic": []}
    for row in chosen:
        path = manifest.path(row)
        content = path.read_bytes() if size == SMALL else enlarged(path, *_larger(path))
        made = test(read_image(content)), test(read_image(content, view=test)), bicubic(content, size)
        with torch.inference_mode():
            for values, feature in zip(found.values(), network(torch.stack(made)), strict=True):
                values.append(F.normalize(feature, dim=0))
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
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    photograph = min((arguments.data / "cub100" / "images").rglob("*.jpg"))
    print("| megapixels | view | whole, ms | reduced, ms | ratio | training: whole, ms | reduced, ms | ratio |")
    print("|---|---|---|---|---|---|---|---|")
    for width, height in ((2000, 1500), (4000, 3000), (8000, 6000)):
        content = enlarged(photograph, width, height)
        for size in (128, 224):
            ms = milliseconds(views(content, size), arguments.rounds)
            train = ms["train whole"], ms["train reduced"]
            print(
                f"| {width * height / 1e6:.0f} | {size} | {ms['whole']:.0f} | {ms['reduced']:.0f} "
                f"| {ms['reduced'] / ms['whole']:.2f} | {train[0]:.0f} | {train[1]:.0f} | {train[1] / train[0]:.2f} |",
                flush=True,
            )
    print("\n| photographs | view | way | cosine to whole | Recall@1 |")
    print("|---|---|---|---|---|")
    for name in ("cub100", "cars196"):
        for size in (SMALL, LARGE):
            for way, (cosine, first) in compare(arguments.data / name, arguments.pictures, size).items():
                print(f"| {name} | {size} | {way} | {cosine:.4f} | {first:.1f} |", flush=True)


if __name__ == "__main__":
    main()
