"""As many pictures of nothing as help, and no more."""

import pytest

from bier.vectors.strangers import STRANGERS, strangers_beside


@pytest.mark.parametrize(("pictures", "made"), [(14, 100), (200, 400), (1500, STRANGERS)])
def test_few_pictures_are_learned_from_beside_few_strangers(pictures: int, made: int) -> None:
    assert strangers_beside(pictures) == made
