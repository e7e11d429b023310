"""A part of a picture as somebody types or draws it."""

from __future__ import annotations

import numpy as np
import pytest

from bier.data.box import checked_box
from bier.errors import ImageError


def test_a_box_has_the_numbers_that_a_manifest_would_hold() -> None:
    assert checked_box(None) is None
    assert checked_box([10.1, -5, 30, 0.5]) == tuple(np.array([10.1, -5, 30, 0.5], dtype=np.float32).tolist())


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ([1, 2, 3], "is no box"),
        ("1234", "is no box"),
        ({"left": 1}, "is no box"),
        ([1, 2, 3, True], "is no box"),
        ([1, 2, 3, "4"], "is no box"),
        ([float("nan"), 2, 3, 4], "is no box"),
        ([1, 2, 3, 10**400], "is no box"),
        ([1, 2, 0, 4], "a box of width 0 and height 4"),
        ([1, 2, 3, -4], "a box of width 3 and height -4"),
    ],
)
def test_what_is_no_box_is_one_message(box: object, message: str) -> None:
    with pytest.raises(ImageError, match=rf"a\.jpg: .*{message}[\s\S]*give left, top, width and height"):
        checked_box(box, "a.jpg")  # type: ignore[arg-type]
