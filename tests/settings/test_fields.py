"""Fields of the settings: each says what it means, and numbers beyond its range are refused."""

from __future__ import annotations

import typing

import pytest

from bier.errors import ConfigError
from bier.settings.entries import Entry, entries
from bier.settings.fields import About
from bier.settings.reading import load
from bier.settings.schema import Config


def kinds(entry: Entry) -> tuple[object, ...]:
    return (entry.hint, *typing.get_args(entry.hint))


ENTRIES = entries(Config())
NUMBERS = [entry for entry in ENTRIES if entry.about.range]
FLOATS = [entry for entry in ENTRIES if entry.key == "loss.options" or float in kinds(entry)]


def change(entry: Entry, value: object) -> Config:
    """As a user gives it: a list for the sizes, and a key of its own in a table."""
    key = entry.key + ".margin" * (entry.key == "loss.options")
    return load(None, [f"{key}=[{value}]" if entry.key == "model.sizes" else f"{key}={value}"])


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.key)
def test_a_setting_says_what_it_means_in_one_line(entry: Entry) -> None:
    assert 1 <= len(entry.about.meaning.split()) <= 20
    assert entry.about.meaning.endswith(".")


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.key)
def test_none_is_explained_where_it_is_the_default(entry: Entry) -> None:
    assert bool(entry.about.if_none) == (entry.value is None)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.key)
def test_every_number_has_a_range(entry: Entry) -> None:
    is_number = bool({int, float, tuple[int, ...]} & {*kinds(entry)})
    assert bool(entry.about.range) == is_number


@pytest.mark.parametrize("entry", NUMBERS, ids=lambda entry: entry.key)
def test_a_number_may_lie_on_its_bounds_but_not_beyond(entry: Entry) -> None:
    about = entry.about
    for bound, beyond in ((about.low, -1), (about.high, 1)):
        if bound is not None:
            change(entry, bound)
            with pytest.raises(ConfigError, match=f"{entry.key}: .* is out of range\n.*give {about.range}"):
                change(entry, bound + beyond)
    if about.above is not None:
        change(entry, about.above + 1e-9)
        with pytest.raises(ConfigError, match=f"{entry.key}: .* is out of range\n.*give {about.range}"):
            change(entry, about.above)


@pytest.mark.parametrize("number", ["nan", ".nan", "inf", ".inf", "-.inf"])
@pytest.mark.parametrize("entry", FLOATS, ids=lambda entry: entry.key)
def test_no_number_is_nan_or_infinite(entry: Entry, number: str) -> None:
    with pytest.raises(ConfigError, match=f"{entry.key}: .* is out of range"):
        change(entry, number)


@pytest.mark.parametrize(
    ("about", "words"),
    [
        (About("Side.", unit="pixels", low=32, high=4096), "32 to 4096 pixels"),
        (About("Pictures.", low=2, high=1_000_000), "2 to 1,000,000"),
        (About("Norm.", low=0), "at least 0"),
        (About("Factor.", above=0.5), "above 0.5"),
        (About("Name."), ""),
    ],
)
def test_a_range_reads_as_a_person_would_say_it(about: About, words: str) -> None:
    assert about.range == words
