"""Speed of extraction against plain torch and onnxruntime, and what bfloat16 costs in Recall@K.

    python benchmarks/extraction.py [--rounds 5] [--batch 32] [--size 224] [--threads 1 2] [--data ../shared/data]

The first table: forward passes of four networks over the same normalised float32 images, as ratios to *eager*, torch's
own float32 pass over contiguous images. *float32* and *bfloat16* are `bier.network.folded.InferenceBackbone`;
*onnxruntime* runs the same network, exported, in float32 on its CPU provider. All alternate in one process; a figure
is the ratio of the best times. With one thread they are the processor's, which a busy machine hardly distorts; with
several it is the time waited, which wants a quiet machine.

The second table: Recall@K of pretrained lite0's features on photographs of classes that no network was trained on. The
vectors of an index and those of the queries may be computed in different ways. *Difference* is that of a score to the
same in float32, over all pairs.
"""

from __future__ import annotations

import argparse
import itertools
import os
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch import Tensor
from torch.nn import functional as F

from bier.data import TestTransform, image_loader, open_source
from bier.network.create import create_backbone
from bier.network.folded import InferenceBackbone
from bier.system.hardware import has_bfloat16

NETWORKS = ("resnet18", "resnet50", "googlenet", "mobilenetv3_large_100")
RECALL_AT = (1, 10, 100)

Pass = Callable[[], object]


def exported(network: torch.nn.Module, images: Tensor, threads: int) -> Pass:
    """A pass of onnxruntime over the images."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        file = os.path.join(folder, "network.onnx")
        torch.onnx.export(network, (images,), file, dynamo=True, external_data=False, verbose=False)
        session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    feed = {session.get_inputs()[0].name: images.numpy()}
    return lambda: session.run(None, feed)


def seconds(run: Pass, clock: Callable[[], float]) -> float:
    before = clock()
    run()
    return clock() - before


def compare(name: str, batch: int, size: int, threads: int, rounds: int) -> dict[str, float]:
    torch.manual_seed(0)
    torch.set_num_threads(threads)
    backbone = create_backbone(name, "none").eval()
    images = torch.randn(batch, 3, size, size)
    plain, half = InferenceBackbone(backbone), InferenceBackbone(backbone, torch.bfloat16)
    passes: dict[str, Pass] = {
        "eager": lambda: backbone.network(images),
        "float32": lambda: plain(images),
        "bfloat16": lambda: half(images),
        "onnxruntime": exported(backbone.network, images, threads),
    }
    with torch.inference_mode():
        for run in passes.values():
            run()
        clock = time.process_time if threads == 1 else time.perf_counter
        times = [{what: seconds(run, clock) for what, run in passes.items()} for _ in range(rounds)]
    return {what: min(row[what] for row in times) for what in passes}


def features(data: Path, limit: int) -> tuple[dict[str, Tensor], np.ndarray]:
    """Of the test classes of CUB, by a plain pass and by the two fast ones."""
    manifest = open_source(data / "cub100").only("test")
    manifest = manifest.take(np.arange(0, len(manifest), max(1, len(manifest) // limit)))
    backbone = create_backbone("efficientnet_lite0").eval()
    passes = {
        "eager": backbone,
        "float32": InferenceBackbone(backbone),
        "bfloat16": InferenceBackbone(backbone, torch.bfloat16),
    }
    found: dict[str, list[Tensor]] = {what: [] for what in passes}
    with torch.inference_mode():
        for batch in image_loader(manifest, TestTransform(224)):
            for what, run in passes.items():
                found[what].append(F.normalize(run(batch.images)))
    return {what: torch.cat(parts) for what, parts in found.items()}, manifest.codes()


def recall(scores: Tensor, labels: np.ndarray) -> list[float]:
    scores = scores.clone().fill_diagonal_(-2)
    hits = torch.as_tensor(labels)[scores.topk(max(RECALL_AT)).indices] == torch.as_tensor(labels)[:, None]
    return [100 * hits[:, :k].any(1).double().mean().item() for k in RECALL_AT]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="*", default=NETWORKS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--images", type=int, default=3000, help="at most, for Recall@K")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("BIER_DATA", "../shared/data")))
    options = parser.parse_args()
    if not has_bfloat16(torch.device("cpu")):
        print("this processor has no bfloat16 of its own: expect no gain from it")
    print(f"{options.batch} images of {options.size} pixels; times faster than eager torch")
    print(f"{'network':24}{'threads':>8}{'eager, ms':>12}{'float32':>10}{'bfloat16':>10}{'onnxruntime':>13}")
    for name in options.networks:
        for threads in options.threads:
            times = compare(name, options.batch, options.size, threads, options.rounds)
            ratios = [times["eager"] / times[what] for what in ("float32", "bfloat16", "onnxruntime")]
            print(
                f"{name:24}{threads:>8}{1000 * times['eager']:>12.0f}"
                f"{ratios[0]:>10.2f}{ratios[1]:>10.2f}{ratios[2]:>13.2f}",
                flush=True,
            )
    if not options.images or not options.data.is_dir():
        print(f"no Recall@K: no photographs at {options.data} (set BIER_DATA)" if options.images else "")
        return
    vectors, labels = features(options.data, options.images)
    print(f"\nlite0 with weights of ImageNet, {len(labels):,} photographs of {len(set(labels)):,} classes, 224 pixels")
    print(
        f"{'stored':12}{'queries':12}"
        + "".join(f"{f'R@{k}':>8}" for k in RECALL_AT)
        + f"{'difference, mean':>20}{'largest':>10}"
    )
    exact = vectors["eager"] @ vectors["eager"].T
    for stored, queries in (("eager", "eager"), *itertools.product(("float32", "bfloat16"), repeat=2)):
        scores = vectors[queries] @ vectors[stored].T
        apart = (scores - exact).abs()
        figures = "".join(f"{value:>8.2f}" for value in recall(scores, labels))
        print(f"{stored:12}{queries:12}{figures}{apart.mean().item():>20.1e}{apart.max().item():>10.1e}")


if __name__ == "__main__":
    main()
