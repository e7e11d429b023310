"""What `bier settings` prints: a file for --config that explains itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from bier.errors import ConfigError
from bier.settings.entries import entries
from bier.settings.printing import WIDTH, as_yaml, find
from bier.settings.reading import load
from bier.settings.schema import Config

TEXT = as_yaml(find())


def names(word: str) -> list[str]:
    return [entry.key for section in find(word) for entry in section.entries]


def test_what_is_printed_loads_as_the_defaults(tmp_path: Path) -> None:
    file = tmp_path / "all.yaml"
    file.write_text(TEXT, encoding="utf-8")
    assert load(file) == Config()
    assert load(file, ["optimizer.epochs=3"]) == Config().replace(optimizer__epochs=3)


def test_every_setting_is_printed_once() -> None:
    printed = [line.split(":")[0].strip() for line in TEXT.splitlines() if ": " in line.partition("#")[0]]
    assert sorted(printed) == sorted(entry.name for entry in entries(Config()))


def test_a_comment_says_meaning_range_and_what_null_stands_for() -> None:
    words = " ".join(as_yaml(find("image")).replace("#", "").split())
    assert "size: null Side of the square input. Range: 32 to 4096 pixels. Default: by backbone: 224 on a GPU" in words
    assert "Choices: auto, crop, stretch, pad." in words
    assert "# From file to tensor.\nimage:" in TEXT


def test_comments_are_aligned_and_fit_the_screen() -> None:
    assert max(map(len, TEXT.splitlines())) <= WIDTH
    assert len({line.index("#") for line in TEXT.splitlines() if "#" in line} - {0}) == 1


@pytest.mark.parametrize("word", ["optimizer", "rate", "seed", "optimizer.epochs", "data"])
def test_a_part_loads_too(word: str, tmp_path: Path) -> None:
    file = tmp_path / "part.yaml"
    file.write_text(as_yaml(find(word)), encoding="utf-8")
    assert load(file) == Config()


def test_a_word_names_a_section_or_part_of_names() -> None:
    assert names("loss") == ["loss.name", "loss.options", "loss.schedule", "loss.shrinkage"]  # not diversity.loss
    assert names("batch") == ["data.classes_per_batch", "optimizer.freeze_batch_norm"]
    assert names("optimizer.epochs") == ["optimizer.epochs"]


@pytest.mark.parametrize(
    ("word", "remedy"),
    [("epocs", "'epochs'"), ("optimiser", "'optimizer'"), ("optimizer.epocs", "'epochs'"), ("xyzzy", "bier settings")],
)
def test_an_unknown_word_gets_the_nearest_names(word: str, remedy: str) -> None:
    with pytest.raises(ConfigError, match=f"no setting has '{word}' in its name") as caught:
        find(word)
    assert remedy in str(caught.value.remedy)
