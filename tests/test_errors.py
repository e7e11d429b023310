"""What a user reads, and that an error survives the way home from a worker process."""

import multiprocessing
import pickle

import pytest

from bier import errors
from bier.errors import BierError, DataError, ImageError, nearest


def test_message_says_what_where_and_what_to_do():
    error = DataError("the image is missing", where="labels.csv, row 3", remedy="check the column 'image'")
    assert str(error) == "labels.csv, row 3: the image is missing\n  → check the column 'image'"
    assert str(DataError("no images")) == "no images"
    assert error.exit_code == 2


def every_kind() -> list[type[BierError]]:
    return [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, BierError)]


@pytest.mark.parametrize("kind", every_kind())
def test_every_kind_survives_pickling(kind):
    error = kind("cut off", where="bird.jpg", remedy="copy it again")
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - what multiprocessing does with an error, on our own bytes
    assert type(copy) is kind
    assert (copy.what, copy.where, copy.remedy, str(copy)) == ("cut off", "bird.jpg", "copy it again", str(error))


def decode(name: str) -> None:
    raise ImageError("cut off", where=name, remedy="copy it again")


def test_a_workers_error_arrives_whole():
    with multiprocessing.get_context("spawn").Pool(1) as pool, pytest.raises(ImageError) as caught:
        pool.apply(decode, ("bird.jpg",))
    assert caught.value.where == "bird.jpg"
    assert str(caught.value) == "bird.jpg: cut off\n  → copy it again"


def test_nearest_names_the_likely_spelling_or_all():
    assert nearest("shrinkag", ["schedule", "shrinkage"]) == "did you mean 'shrinkage'?"
    assert nearest("zzz", ["crop", "pad"]) == "choose one of: crop, pad"


def test_the_tree_in_the_docstring_is_the_tree():
    assert all(kind.__name__ in (errors.__doc__ or "") for kind in every_kind())
