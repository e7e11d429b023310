"""Pictures to vectors: one pass of a trained model over a manifest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bier.data.images import TestTransform
from bier.data.loader import image_loader
from bier.data.manifest import Manifest
from bier.errors import DataError, ImageError
from bier.method.ensemble import normalize
from bier.network.folded import InferenceBackbone
from bier.network.model import RetrievalModel
from bier.system.hardware import Hardware
from bier.system.processes import ALONE, Processes

SHARED = 8
"""Pictures for each process, at least, for sharing them to be worth it."""


@dataclass(frozen=True, eq=False)
class Embeddings:
    """What a model makes of n pictures, float32, on the CPU."""

    learners: tuple[Tensor, ...]
    """M tensors (n, d_m): the normalised outputs ``z_m``, not yet weighted."""
    features: Tensor
    """(n, F): the backbone's pooled features, as they are."""
    index: NDArray[np.int64]
    """(n,): the manifest's row of each."""
    failed: list[ImageError]
    """Pictures that could not be read, in the manifest's order; the others are all there."""

    def __len__(self) -> int:
        return len(self.index)


def embed(
    model: RetrievalModel,
    manifest: Manifest,
    *,
    transform: TestTransform,
    hardware: Hardware | None = None,
    batch_size: int = 64,
    progress: Callable[[int], object] | None = None,
    part: bool = False,
) -> Embeddings:
    """Learners' outputs and backbone features of every readable picture, in the manifest's order.

    A twin of the backbone in evaluation mode does the work; the model is left as it was found.

    Args:
        model: backbone and head.
        manifest: the pictures.
        transform: what makes a picture (3, h, w) ready for the model, the same view every time.
        hardware: the model is moved there. Its processes share the pictures: each calls this alike, and gets all
            vectors. None given: where the model is, in float32.
        batch_size: pictures at once; it changes speed and memory only.
        progress: called after each batch with the number of pictures done, readable or not.
        part: these are some of the pictures, of which none need be readable.

    Raises:
        DataError: no picture at all, or none that can be read, or a vector with NaN or infinity (by picture).
    """
    if not len(manifest):
        raise DataError("there are no pictures to embed", where=manifest.source, remedy="choose a split that has some")
    hardware = hardware or Hardware(next(model.parameters()).device)
    processes = hardware.processes
    if processes.world > 1 and len(manifest) >= SHARED * processes.world:
        mine = np.array_split(np.arange(len(manifest)), processes.world)[processes.rank]
        own = embed(
            model,
            manifest.take(mine),
            transform=transform,
            hardware=replace(hardware, processes=ALONE),
            batch_size=batch_size,
            progress=progress,
            part=True,
        )
        return _some(_joined(own, mine, processes), manifest, part)
    model.to(hardware.device)
    sizes = [model.backbone.features, *model.head.sizes]
    outputs = [torch.empty(len(manifest), size) for size in sizes]
    index = np.empty(len(manifest), dtype=np.int64)
    failed: list[ImageError] = []
    count = 0
    backbone = InferenceBackbone(model.backbone, hardware.precision, hardware.channels_last)
    with torch.inference_mode():
        for batch in image_loader(manifest, transform, batch_size, hardware.workers):
            failed += batch.failed
            rows = slice(count, count + len(batch.index))
            if len(batch.index):
                features = backbone(batch.images)
                learners = [normalize(output) for output in model.head.learners(features)]
                for output, values in zip(outputs, [features, *learners], strict=True):
                    output[rows] = values.float().cpu()
                index[rows] = batch.index.numpy()
                _check_finite([output[rows] for output in outputs], manifest, index[rows])
            count = rows.stop
            if progress is not None:
                progress(len(batch.index) + len(batch.failed))
    kept = [output[:count] for output in outputs]
    return _some(Embeddings(tuple(kept[1:]), kept[0], index[:count], failed), manifest, part)


def _some(found: Embeddings, manifest: Manifest, part: bool) -> Embeddings:
    if not len(found) and not part:
        first = found.failed[0].what if found.failed else "missing"
        raise DataError(
            f"none of the {len(manifest):,} pictures can be read; the first: {first}",
            where=manifest.source,
            remedy="look at the files with 'bier data check'",
        )
    return found


def _joined(own: Embeddings, rows: NDArray[np.int64], processes: Processes) -> Embeddings:
    """What all have made of their parts; ``rows`` are the manifest's of this one's."""
    features, *learners = (torch.cat(processes.parts(output)) for output in (own.features, *own.learners))
    failed = [error for errors in processes.gather_objects(own.failed) for error in errors]
    return Embeddings(tuple(learners), features, processes.gather(rows[own.index]), failed)


def _check_finite(outputs: Sequence[Tensor], manifest: Manifest, index: NDArray[np.int64]) -> None:
    finite = torch.stack([output.isfinite().all(1) for output in outputs]).all(0).numpy()
    if not finite.all():
        names = [str(manifest.image[row]) for row in index[~finite]]
        raise DataError(
            f"the model gives NaN or infinity for {', '.join(names[:5])}{' and others' * (len(names) > 5)}",
            where=manifest.source,
            remedy="train again, or load the last good checkpoint; with bfloat16, try float32",
        )
