"""Which files are pictures, and what to do about those that cannot be read."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bier.data import formats


@pytest.fixture
def no_plugins(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As if the extra `formats` were not installed."""
    formats.kind_is_readable.cache_clear()
    monkeypatch.setattr(formats, "find_spec", lambda name: None)
    yield
    formats.kind_is_readable.cache_clear()


@pytest.mark.parametrize("name", ["a.jpg", "A.JPE", "a.jfif", "b/c.PNG", "a.tiff", "a.dib", "a.pgm", "a.ico", "a.gif"])
def test_pictures_are_known_by_suffix(name: str) -> None:
    assert formats.is_readable(name)
    assert formats.suffix_of(name) in formats.SUFFIXES
    assert formats.remedy_for(name) is None


@pytest.mark.parametrize("name", ["labels.csv", "notes.txt", "jpg", "a.jpg.part", ".jpg"])
def test_other_files_are_no_pictures_and_need_no_remedy(name: str) -> None:
    assert not formats.is_readable(name)
    assert formats.remedy_for(name) is None


@pytest.mark.parametrize(("name", "kind"), [("IMG_1.HEIC", "HEIC"), ("a.heif", "HEIC"), ("a.jxl", "JPEG XL")])
def test_what_needs_the_extra_is_named_with_it(name: str, kind: str, no_plugins: None) -> None:
    assert not formats.is_readable(name)
    assert formats.remedy_for(name) == f"to read {kind}: pip install 'bier-dml[formats]'"
    assert formats.suffix_of(name) in formats.SUFFIXES


@pytest.mark.parametrize("name", ["a.heic", "a.jxl"])
def test_with_the_extra_they_are_read(name: str) -> None:
    pytest.importorskip("pillow_heif")
    pytest.importorskip("pillow_jxl")
    assert formats.is_readable(name)
    assert formats.remedy_for(name) is None


@pytest.mark.parametrize("name", ["DSC_1.NEF", "a.psd", "a.svg", "a.pdf", "IMG_1.MOV"])
def test_what_is_never_read_is_to_be_exported(name: str) -> None:
    assert not formats.is_readable(name)
    assert formats.remedy_for(name) == "export it as JPEG or PNG"
