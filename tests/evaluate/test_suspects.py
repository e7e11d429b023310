"""Labels that were exchanged are found, and nothing is judged by its own label."""

from __future__ import annotations

import numpy as np
import pytest

from bier.errors import DataError
from bier.evaluate.suspects import folds, judge


def clusters(classes: int = 6, each: int = 20) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    codes = np.repeat(np.arange(classes), each)
    centres = random.standard_normal((classes, 16))
    return (centres[codes] + 0.3 * random.standard_normal((len(codes), 16))).astype(np.float32), codes


def test_exchanged_labels_come_first_with_the_right_one_and_its_pictures() -> None:
    vectors, true = clusters()
    codes = true.copy()
    wrong = [3, 25, 77, 110]
    codes[wrong] = (true[wrong] + 1) % 6
    judged = judge(vectors, codes)
    assert sorted(judged.order()[:4].tolist()) == wrong
    assert judged.doubted.sum() == 4
    assert (judged.better[wrong] == true[wrong]).all()
    assert (codes[judged.neighbours[wrong]] == true[wrong][:, None]).all()


def test_a_picture_has_no_say_in_its_own_case() -> None:
    vectors, codes = clusters()
    vectors[0] = vectors[25] + 1e-3
    vectors[0] *= 100
    assert judge(vectors, codes).order()[0] == 0


def test_each_class_is_spread_over_all_folds() -> None:
    codes = np.repeat(np.arange(4), 10)
    fold = folds(codes, seed=1)
    assert all(np.bincount(fold[codes == label]).tolist() == [2] * 5 for label in range(4))


def test_a_picture_alone_in_its_class_is_not_judged() -> None:
    vectors, codes = clusters(classes=2)
    codes[0] = 2
    judged = judge(vectors, codes)
    assert judged.suspicion[0] == 0 and not judged.doubted[0]
    assert np.isfinite(judged.suspicion).all()


def test_equal_vectors_say_nothing() -> None:
    judged = judge(np.ones((8, 4), dtype=np.float32), np.arange(8) % 2)
    assert np.isfinite(judged.suspicion).all()


def test_one_class_is_refused() -> None:
    with pytest.raises(DataError, match="no other label can fit better"):
        judge(np.ones((3, 4), dtype=np.float32), np.zeros(3, dtype=np.int64))
