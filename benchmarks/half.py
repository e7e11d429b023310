"""What storing float16 instead of float32 loses, and what it saves.

    bier embed RUN TEST -o VECTORS
    OMP_NUM_THREADS=1 python benchmarks/half.py VECTORS [VECTORS ...] [--engine lancedb]

The labelled vectors are put into an index of each precision. Recall@1 and MAP@R are of the stored vectors, each picture
searched for among the others. Recall@10 is the share of the ten nearest by float32 that float16 gives, for queries in
float32. The change of a score is that of the same hit.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bier.evaluate import evaluate_retrieval
from bier.search import IndexInfo, create_index
from bier.search.base import Storage
from bier.vectors.parts import VectorsInfo, read_info, read_vectors

PRECISIONS: tuple[Storage, ...] = ("float32", "float16")
Vectors = NDArray[np.float32]


def stored_vectors(folder: Path) -> tuple[VectorsInfo, Vectors, NDArray[np.int64]]:
    """All vectors of a folder, and their classes."""
    parts = list(read_vectors(folder))
    labels = [row["label"] for part in parts for row in part.metadata]
    return (
        read_info(folder),
        np.concatenate([part.vectors for part in parts]),
        np.unique(labels, return_inverse=True)[1],
    )


def measured(folder: Path, engine: str) -> list[str]:
    about, made, codes = stored_vectors(folder)
    names, answers, rows = [f"{row:06d}" for row in range(len(made))], dict[str, list[dict[str, float]]](), []
    for precision in PRECISIONS:
        info = IndexInfo(about.model, about.sizes, about.scales, engine, storage=precision)
        with tempfile.TemporaryDirectory() as place, create_index(Path(place) / "index", info) as index:
            index.add(names, made, [{}] * len(names))
            index.flush()
            size = sum(path.stat().st_size for path in index.folder.rglob("*") if path.is_file())
            stored = np.stack([record.vector for record in index.get(names) if record is not None])
            answers[precision] = [{hit.id: hit.score for hit in hits} for hits in index.search(made, 10)]
        found = evaluate_retrieval(stored, codes, recall_at=(1,), metrics=("recall", "map_at_r"))
        assert found.map_at_r is not None
        figures = [f"{100 * share:.3f}" for share in (found.recall[1], found.map_at_r)]
        rows.append([folder.name, precision, f"{len(made):,}", *figures, f"{size / made.nbytes:.2f}"])
    pairs = list(zip(answers["float16"], answers["float32"], strict=True))
    recall = np.mean([len(one.keys() & other.keys()) / len(other) for one, other in pairs])
    changes = np.array([abs(one[name] - other[name]) for one, other in pairs for name in one.keys() & other.keys()])
    rows[0] += ["1", ""]
    rows[1] += [f"{recall:.4f}", f"{np.median(changes):.1e}, at most {changes.max():.1e}"]
    return [f"| {' | '.join(row)} |" for row in rows]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("vectors", nargs="+", type=Path)
    parser.add_argument("--engine", default="lancedb")
    arguments = parser.parse_args()
    heads = ["vectors", "stored as", "pictures", "Recall@1, %", "MAP@R, %", "disk, times float32"]
    heads += ["recall@10", "change of a score"]
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for folder in arguments.vectors:
        print("\n".join(measured(folder, arguments.engine)), flush=True)


if __name__ == "__main__":
    main()
