"""How well a model knows what it knows: AUC and calibration error of both chances, and what is refused.

    python recipes/confidence.py RUN [RUN ...] [--data ../shared/data] [--other ../shared/data/cars196]

RUNs are folders of trained models; their test classes are judged. A model without a calibration gets one first, learned
from its validation classes as at the end of training. The run's folder is not changed. ``--other`` names a source whose
pictures are strange to the run; by default it is the other one of cub100 and cars196.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from bier.confidence.calibration import Calibration
from bier.confidence.cues import EVIDENCE
from bier.confidence.figures import area_under_curve
from bier.confidence.fitting import LOST, calibrate
from bier.confidence.measuring import Measured, judged, whole_and_half
from bier.confidence.searching import Answers, Search
from bier.confidence.strangers import KINDS
from bier.data import Manifest, TestTransform, open_source, with_distractors
from bier.network.model import RetrievalModel
from bier.network.model_file import load_model
from bier.runs.judged import retrieval_vectors
from bier.runs.splits import held_out
from bier.settings.reading import load
from bier.system.allocator import keep_freed_memory
from bier.system.console import plain_console
from bier.vectors.embed import embed
from bier.vectors.encoder import Encoder
from bier.vectors.strangers import STRANGERS, stranger_vectors

UNSEEN = 1_000
"""Seed of the strangers that are judged; no run learns from these."""
OTHERS = 400
"""Pictures of another set that are judged."""
_QUIET = plain_console(quiet=True)


class Run:
    """A run's pictures as vectors, and its calibration."""

    def __init__(self, folder: Path, data: Path, other: Path | None) -> None:
        config = load(folder / "config.yaml")
        name = folder.name.split("-")[0]
        self.model, info = load_model(folder)
        self.view = TestTransform.of(info.image)
        manifest = held_out(open_source(str(data / name), config.data), config, _QUIET)
        searched = with_distractors(manifest, config.data.validation_gallery, config.seed)
        self.vectors, self.codes, self.split, images = _embedded(self.model, manifest, self.view)
        self.searched = np.isin(images, searched.image)
        foreign = other or data / ("cars196" if name == "cub100" else "cub100")
        self.foreign = _some(self.model, open_source(str(foreign), config.data), self.view)
        self.seed = config.seed
        self.calibration = self._learned() if info.calibration is None else Calibration.from_json(info.calibration)

    def _learned(self) -> Calibration:
        vectors, codes = self.vectors[self.searched], self.codes[self.searched]
        rows = np.flatnonzero(self.split[self.searched] == "val")
        strange = self._strange(self.seed)
        return calibrate(
            vectors[rows],
            codes[rows],
            vectors,
            codes,
            self.model.head.sizes,
            itself=rows,
            strangers=strange,
            alone=True,
            seed=self.seed,
        )

    def test(self) -> Search:
        """The test pictures, each of which searches the others."""
        rows = np.flatnonzero(self.split == "test")
        vectors, codes = self.vectors[rows], self.codes[rows]
        own = np.arange(len(rows))
        return Search(vectors, codes, own, own >= 0, vectors, codes, self.calibration.sizes)

    def catalogue(self) -> tuple[Calibration, Search]:
        """Half of the test pictures as a catalogue, a calibration learned from it alone, and the others as queries."""
        order = np.random.default_rng(self.seed).permutation(np.flatnonzero(self.split == "test"))
        kept, asked = np.sort(order[::2]), np.sort(order[1::2])
        gallery, codes, nowhere = self.vectors[kept], self.codes[kept], np.full(len(asked), -1)
        strange, sizes = self._strange(self.seed), self.model.head.sizes
        own = np.arange(len(kept))
        learned = calibrate(gallery, codes, gallery, codes, sizes, itself=own, strangers=strange, seed=self.seed)
        return learned, Search(self.vectors[asked], self.codes[asked], nowhere, nowhere < 0, gallery, codes, sizes)

    def strangers(self) -> Iterator[tuple[str, NDArray[np.float32]]]:
        """Vectors of pictures that are none of the set, by kind."""
        made = self._strange(UNSEEN, 100 * len(KINDS))
        for place, kind in enumerate(KINDS):
            yield kind, made[place :: len(KINDS)]
        yield "another set", self.foreign

    def _strange(self, seed: int, count: int = STRANGERS) -> NDArray[np.float32]:
        made: NDArray[np.float32] = stranger_vectors(Encoder(self.model, self.view, ""), seed, count).numpy()
        return made


def _embedded(model: RetrievalModel, manifest: Manifest, view: TestTransform) -> tuple[Any, ...]:
    vectors = embed(model, manifest, transform=view)
    seen = manifest.take(vectors.index)
    return retrieval_vectors(model, vectors), seen.codes(), seen.split, seen.image


def _some(model: RetrievalModel, manifest: Manifest, view: TestTransform) -> NDArray[np.float32]:
    rows = np.random.default_rng(0).permutation(len(manifest))[:OTHERS]
    found: NDArray[np.float32] = _embedded(model, manifest.take(np.sort(rows)), view)[0]
    return found


def figures(run: Run, console: Console) -> None:
    """All tables of a run."""
    search, learned = run.test(), run.calibration
    whole, half = whole_and_half(search, learned, run.seed)
    console.print("\n| from | AUC right | error | AUC known | error | real queries lost |\n|---|---|---|---|---|---|")
    for evidence in EVIDENCE:
        _row(evidence, judged(learned, whole, half, evidence), console)
    fitted, other = run.catalogue()
    _row("all, learned from the catalogue", judged(fitted, *whole_and_half(other, fitted, run.seed), "all"), console)
    console.print("\n| cue alone | AUC right | AUC known |\n|---|---|---|")
    for cue, values in whole.cues.items():
        right, known = area_under_curve(values, whole.right), area_under_curve(half.cues[cue], half.known)
        console.print(f"| `{cue}` | {right:.3f} | {known:.3f} |", soft_wrap=True)
    console.print(f"\n| refused, with {LOST:.0%} of real queries lost | {' | '.join(EVIDENCE)} |")
    console.print(f"|---{'|---' * len(EVIDENCE)}|")
    every = np.ones(len(search.codes), dtype=bool)
    for kind, vectors in run.strangers():
        answers = search.by(vectors).answers([every], learned.direction)
        shares = [f"{_refused(learned, evidence, whole, answers):.3f}" for evidence in EVIDENCE]
        console.print(f"| {kind} | {' | '.join(shares)} |")


def _row(name: str, found: Measured, console: Console) -> None:
    chances = [f"{chance.auc:.3f} | {chance.error:.3f}" for chance in (found.right, found.known)]
    console.print(f"| {name} | {' | '.join(chances)} | {found.lost:.3f} |", soft_wrap=True)


def _refused(learned: Calibration, evidence: str, real: Answers, strange: Answers) -> float:
    """Share of strangers below what 5 % of the test queries fall short of."""
    fit = learned.fits[evidence]
    limit = np.quantile(fit.chances(real.cues)[1], LOST)
    return float((fit.chances(strange.cues)[1] < limit).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, nargs="+")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--other", type=Path)
    given = parser.parse_args()
    keep_freed_memory()
    console = Console(width=200, highlight=False)
    for folder in given.run:
        run = Run(folder, given.data, given.other)
        console.print(f"\n**{folder.name}**")
        figures(run, console)


if __name__ == "__main__":
    main()
