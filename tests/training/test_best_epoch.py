"""Which epoch is kept: chance among few classes must not decide, a real fall must."""

from __future__ import annotations

from bier.training.best_epoch import BestEpoch


def classes(*values: float) -> dict[str, float]:
    return {str(label): value for label, value in enumerate(values)}


def test_a_later_epoch_is_kept_when_only_chance_speaks_against_it() -> None:
    best = BestEpoch()
    assert best.offer(1, classes(0.99, 0.97, 0.98, 0.96))
    assert best.offer(2, classes(0.97, 0.98, 0.99, 0.95))  # mean lower by 0.0025, one class in two better
    assert best.epoch == 2


def test_an_epoch_that_is_worse_for_every_class_is_not_kept() -> None:
    best = BestEpoch()
    best.offer(1, classes(0.80, 0.60, 0.70, 0.90))
    assert not best.offer(2, classes(0.78, 0.58, 0.68, 0.89))
    assert best.epoch == 1
    assert best.offer(3, classes(0.81, 0.61, 0.70, 0.90))


def test_small_falls_are_held_against_the_best_so_far_and_do_not_add_up() -> None:
    best = BestEpoch()
    best.offer(1, classes(0.80, 0.80, 0.80, 0.80))
    assert best.offer(2, classes(0.79, 0.805, 0.79, 0.805))
    assert not best.offer(3, classes(0.78, 0.795, 0.78, 0.795))  # as far below epoch 2 as that was below epoch 1
    assert best.epoch == 2


def test_one_class_says_nothing_of_chance() -> None:
    best = BestEpoch()
    best.offer(1, classes(0.8))
    assert not best.offer(2, classes(0.79))
    assert best.offer(3, classes(0.8))


def test_a_class_that_could_not_be_read_this_time_is_left_out() -> None:
    best = BestEpoch()
    best.offer(1, {"a": 0.5, "b": 0.9})
    assert best.offer(2, {"a": 0.6})
