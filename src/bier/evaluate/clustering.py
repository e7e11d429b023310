"""How well clusters of the embedding agree with the classes: NMI and AMI of k-means with one cluster for each class."""

from __future__ import annotations

from bier.evaluate.engine.table import Table, View
from bier.system.extras import need


def agreement(table: Table, view: View, seed: int) -> dict[str, float]:
    """``nmi`` and ``ami`` (arithmetic mean of the entropies), by faiss's k-means and scikit-learn's scores.

    Args:
        table: rows and their classes; lengths are divided away as in the search.
        view: the embedding.
        seed: of the first centres.

    Raises:
        ConfigError: faiss or scikit-learn is not installed.
    """
    faiss = need("faiss", "cluster")
    scores = need("sklearn.metrics", "cluster")
    classes = len(set(table.codes.tolist()))
    operand = table.embedding(view).numpy()
    means = faiss.Kmeans(operand.shape[1], classes, niter=25, seed=seed, max_points_per_centroid=1 << 30)
    means.cp.min_points_per_centroid = 1
    means.train(operand)
    _, cluster = means.index.search(operand, 1)
    return {
        "nmi": float(scores.normalized_mutual_info_score(table.codes, cluster[:, 0])),
        "ami": float(scores.adjusted_mutual_info_score(table.codes, cluster[:, 0])),
    }
