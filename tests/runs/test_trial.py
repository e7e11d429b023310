"""What is chosen before training is judged on few training images of many classes."""

from __future__ import annotations

from pathlib import Path

from bier.data import Manifest
from bier.runs.trial import IMAGES, OF_EACH, some_images


def test_images_come_from_many_classes() -> None:
    labels = [f"c{i}" for i in range(100) for _ in range(30)] + ["alone"]
    many = Manifest.of(Path(), "many", image=[f"{i}.jpg" for i in range(len(labels))], label=labels)
    some = some_images(many, 0)
    assert len(some) == IMAGES
    assert len(some.classes()) == IMAGES // OF_EACH
    assert not set(some.image) - set(many.image)
    assert some_images(many, 0).fingerprint() == some.fingerprint() != some_images(many, 1).fingerprint()
    few = many.take(many.codes() < 8)
    assert len(some_images(few, 0)) == len(few) - ("alone" in few.classes())
    assert len(some_images(many.take(many.label == "alone"), 0)) == 0
