"""Batches of P classes x K images: what holds for every epoch of every data set."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bier.data.sampler import BatchPlan
from bier.errors import ConfigError, DataError

OLDER = [3, 1, 9, 7, 4, 1, 8, 6, 2, 7, 0, 5]
"""An epoch that was planned before there were two ways to draw it."""

class_sizes = st.lists(st.integers(1, 30), min_size=2, max_size=25).filter(lambda sizes: max(sizes) > 1)


def planned(labels: np.ndarray, p: int, k: int, linear: bool, **options: int) -> BatchPlan:
    """A plan that is drawn batch by batch, or in laps as those of large data sets are."""
    plan = BatchPlan(labels, p, k, **options)
    assert not plan.linear
    plan.linear = linear
    return plan


def labels_of(sizes: list[int], seed: int = 0) -> np.ndarray:
    """Labels with gaps between the numbers, in no order."""
    labels = np.repeat(np.arange(len(sizes)) * 7 + 3, sizes)
    return np.random.default_rng(seed).permutation(labels)


@settings(max_examples=150, deadline=None)
@given(class_sizes, st.integers(2, 9), st.integers(2, 6), st.integers(0, 5), st.booleans())
def test_every_batch_is_p_times_k_and_every_image_is_used(
    sizes: list[int], p: int, k: int, epoch: int, linear: bool
) -> None:
    labels = labels_of(sizes)
    plan = planned(labels, p, k, linear, seed=1)
    batches = plan.epoch(epoch)
    assert len(batches) == len(plan)
    for batch in batches:
        classes, counts = np.unique(labels[batch], return_counts=True)
        assert len(classes) == min(p, len(sizes))
        assert (counts == k).all()
        for label in classes:
            images = batch[labels[batch] == label]
            assert len(np.unique(images)) == min(k, (labels == label).sum()), "repeated although it has others"
    assert len(np.unique(np.concatenate(batches))) == len(labels)


@settings(max_examples=40, deadline=None)
@given(class_sizes, st.integers(2, 6), st.sampled_from([2, 3]), st.booleans())
def test_the_parts_of_all_ranks_are_the_batch_of_one_process(
    sizes: list[int], k: int, world: int, linear: bool
) -> None:
    labels = labels_of(sizes)
    p = min(len(sizes), 6) // world * world
    if p < 2:
        return
    whole = planned(labels, p, k, linear, seed=4).epoch(2)
    parts = [planned(labels, p, k, linear, seed=4, rank=rank, world=world).epoch(2) for rank in range(world)]
    for batch, *shares in zip(whole, *parts, strict=True):
        assert [len(share) for share in shares] == [p // world * k] * world
        assert np.concatenate(shares).tolist() == batch.tolist()


def test_an_epoch_is_no_longer_than_it_must_be() -> None:
    assert len(BatchPlan(labels_of([8] * 10), 5, 4, seed=0)) == 4  # 20 class appearances of 4 images, 5 in a batch
    assert len(BatchPlan(labels_of([9] * 10), 5, 4, seed=0)) == 6
    assert len(BatchPlan(labels_of([40] + [4] * 4), 5, 4, seed=0)) == 10  # the large class is in every batch


@pytest.mark.parametrize("linear", [False, True])
def test_the_plan_is_a_function_of_seed_and_epoch(linear: bool) -> None:
    labels = labels_of([12] * 8)

    def plan(seed: int, epoch: int) -> list[list[int]]:
        return [batch.tolist() for batch in planned(labels, 4, 3, linear, seed=seed).epoch(epoch)]

    before = np.random.get_state()[1].copy()  # type: ignore[index]
    assert plan(0, 3) == plan(0, 3)
    assert plan(0, 3) != plan(0, 4)
    assert plan(0, 3) != plan(1, 3)
    assert plan(-1, 0) != plan(1, 0)
    assert (before == np.random.get_state()[1]).all(), "the global generator was used"  # type: ignore[index]
    long_lived = planned(labels, 4, 3, linear, seed=0)
    long_lived.epoch(0)
    assert [batch.tolist() for batch in long_lived.epoch(3)] == plan(0, 3), "it remembers an epoch"


@pytest.mark.parametrize("linear", [False, True])
def test_every_pair_of_classes_meets(linear: bool) -> None:
    # A plan in which neighbours in some order always share a batch would hide most negatives from the loss.
    labels = labels_of([30] * 20)
    meetings = np.zeros((20, 20), dtype=int)
    for epoch in range(10):
        for batch in planned(labels, 5, 3, linear, seed=0).epoch(epoch):
            classes = np.unique((labels[batch] - 3) // 7)
            meetings[np.ix_(classes, classes)] += 1
    apart = meetings[~np.eye(20, dtype=bool)]
    assert apart.min() > 0.4 * apart.mean()
    assert apart.max() < 1.8 * apart.mean()


@pytest.mark.parametrize("linear", [False, True])
def test_what_is_missing_comes_from_classes_by_their_size(linear: bool) -> None:
    # The large class is in all 100 batches; 200 places are for the others, 50 of which their images need.
    labels = labels_of([400, 40, 80, 80])
    used = np.bincount((labels[np.concatenate(planned(labels, 3, 4, linear, seed=0).epoch(0))] - 3) // 7) / 4
    assert used[0] == 100
    assert np.abs(used[1:] - [40, 80, 80]).max() <= 5


@pytest.mark.parametrize(
    ("labels", "p", "k", "world", "error", "message"),
    [
        ([], 4, 4, 1, DataError, "0 classes"),
        ([5] * 10, 4, 4, 1, DataError, "1 class\\b"),
        ([1, 2, 3, 4], 2, 2, 1, DataError, "none of the 4 classes has two images"),
        ([1, 1, 2, 2], 1, 4, 1, ConfigError, "data.classes_per_batch: 1 is too few"),
        ([1, 1, 2, 2], 2, 1, 1, ConfigError, "data.images_per_class: 1 is too few"),
        ([1, 1, 2, 2, 3, 3], 4, 2, 2, ConfigError, "3 classes in a batch cannot be shared by 2 processes"),
    ],
)
def test_what_cannot_be_planned(
    labels: list[int], p: int, k: int, world: int, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        BatchPlan(np.array(labels, dtype=np.int64), p, k, seed=0, world=world)


def test_the_size_of_stanford_online_products_takes_seconds_at_most() -> None:
    random = np.random.default_rng(0)
    labels = np.concatenate([np.arange(11_318), np.arange(11_318), random.integers(0, 11_318, 59_551 - 2 * 11_318)])
    began = time.process_time()
    batches = BatchPlan(labels, 16, 4, seed=0).epoch(0)
    assert time.process_time() - began < 5  # 0.8 s when the machine is idle
    assert len(np.unique(np.concatenate(batches))) == 59_551


def test_plans_of_older_versions_stay_as_they_were() -> None:
    """An interrupted run goes on with the batches that it began with."""
    plan = BatchPlan(labels_of([3, 5, 2]), 2, 2, seed=3)
    assert np.concatenate(plan.epoch(1)).tolist() == OLDER


def test_a_million_pictures_take_a_moment() -> None:
    labels = np.random.default_rng(0).integers(0, 10_000, 1_000_000)
    plan = BatchPlan(labels, 16, 4, seed=0)
    assert plan.linear
    began = time.process_time()
    batches = plan.epoch(0)
    assert time.process_time() - began < 3  # 0.3 s when the machine is idle
    assert len(np.unique(np.concatenate(batches))) == 1_000_000


@pytest.mark.parametrize("linear", [False, True])
def test_a_picture_of_two_labels_comes_with_the_others_of_each(linear: bool) -> None:
    classes, rows = np.array([0, 0, 1, 1, 0, 1]), np.array([0, 1, 2, 3, 4, 4])  # the last picture has both
    plan = BatchPlan(classes, 2, 2, seed=0, rows=rows)
    plan.linear = linear
    batches = plan.epoch(0)
    assert {row for batch in batches for row in batch.tolist()} == {0, 1, 2, 3, 4}
    for batch in batches:
        halves = [set(part.tolist()) for part in batch.reshape(2, 2)]
        assert any(halves == [a, b] or halves == [b, a] for a in SUBSETS for b in OTHERS), batch


SUBSETS = [{0, 1}, {0, 4}, {1, 4}]
OTHERS = [{2, 3}, {2, 4}, {3, 4}]
