"""Held-out labels: validation pictures have no others, and training is not told of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bier.data import hold_out
from bier.data.held_labels import hold_out_labels, mixes
from bier.data.label_cells import parts
from bier.data.manifest import Manifest
from bier.data.several_labels import checked_sets, label_entries
from bier.errors import DataError


def table(labels: list[str], split: str = "train") -> Manifest:
    count = len(labels)
    return Manifest.of(Path(), "t", image=[f"{n}.jpg" for n in range(count)], label=labels, split=[split] * count)


def species_and_kinds() -> list[str]:
    """Ten kinds of four species each, six pictures of each species."""
    return [f"species {kind * 4 + one}|kind {kind}" for kind in range(10) for one in range(4) for _ in range(6)]


def labels_of(manifest: Manifest) -> set[str]:
    return {label for cell in manifest.label for label in parts(cell, "|")}


@pytest.mark.parametrize("seed", range(4))
def test_validation_pictures_have_held_out_labels_alone(seed: int) -> None:
    whole = table(species_and_kinds())
    held = hold_out_labels(whole, 0.2, seed, "|")
    train, validation = held.only("train"), held.only("val")
    assert len(validation) >= 24 and labels_of(validation) == held.untold
    assert len(held.untold) in (10, 11), "a fifth of 50, and what the last set brings"
    rows, classes = label_entries(train, "|")
    told = {parts(train.label[row], "|")[0] for row in rows}
    assert not any(label in held.untold for label in told)
    assert sorted(set(rows)) == list(range(len(train))), "each training picture keeps a label"
    assert sorted(set(classes)) == list(range(50 - len(held.untold)))
    mixed = int(mixes(held, "|").sum())
    assert 0 < mixed == sum(not held.untold.isdisjoint(parts(cell, "|")) for cell in train.label)
    assert f"{mixed} pictures mix them with other labels" in held.notes[-1]
    shuffled = whole.take(np.random.default_rng(0).permutation(len(whole)))
    assert hold_out_labels(shuffled, 0.2, seed, "|").untold == held.untold


def test_nothing_is_known_of_pictures_that_share_a_held_out_label_only() -> None:
    manifest = replace(table(["a|x", "b|x", "a|y", "c"]), untold=frozenset("x"))
    expected = [[1, -1, 1, 0], [-1, 1, 0, 0], [1, 0, 1, 0], [0, 0, 0, 1]]
    np.testing.assert_array_equal(checked_sets(manifest, "|").among(np.arange(4)), expected)


def test_labels_that_mix_too_much_are_held_out_by_sets() -> None:
    manifest = table([f"colour {n % 12}|shape {n // 12 % 12}" for n in range(600)])
    held = hold_out_labels(manifest, 0.2, 0, "|")
    assert not held.untold and not mixes(held, "|").any()
    assert "whole sets of labels are held out" in held.notes[-1] and "are needed" in held.notes[-1]
    np.testing.assert_array_equal(held.split, hold_out(manifest, 0.2, 0, "|").split)


def test_a_label_of_most_pictures_is_never_held_out() -> None:
    labels = [f"{cell}|{'day' if n % 3 else 'night'}" for n, cell in enumerate(species_and_kinds())]
    held = hold_out_labels(table(labels), 0.2, 0, "|")
    assert not held.untold & {"day", "night"} and len(held.only("val")) > 20


def test_a_split_of_the_source_stays() -> None:
    manifest = table(species_and_kinds())
    own = replace(manifest, split=np.array(["val" if n < 24 else "train" for n in range(240)], dtype=object))
    assert hold_out_labels(own, 0.2, 0, "|") is own
    assert hold_out_labels(manifest, 0, 0, "|") is manifest


def test_too_few_sets_are_refused() -> None:
    with pytest.raises(DataError, match="too few to hold some out"):
        hold_out_labels(table(["a|b", "a|b", "c", "c"]), 0.2, 0, "|")
