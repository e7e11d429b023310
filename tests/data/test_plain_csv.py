"""The fast reader of plain CSV files reads what the careful one reads, and leaves everything else to it."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bier.data.datasets.plain_csv import read_plain
from bier.data.datasets.table import read_csv
from bier.data.manifest import Manifest
from bier.errors import DataError

NEEDED = ("image", "label")


def written(folder: Path, data: str | bytes) -> Path:
    file = folder / "labels.csv"
    file.write_bytes(data if isinstance(data, bytes) else data.encode())
    return file


def told(manifest: Manifest) -> dict[str, Any]:
    values = {field.name: getattr(manifest, field.name) for field in fields(manifest)}
    return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in values.items()}


@pytest.mark.parametrize(
    "text",
    [
        "image,label\na.jpg,1\nb.jpg,001\n",
        "image,label\na.jpg,1\nb.jpg,2",
        "Label ; IMAGE\n boot\u2003;\x1fa b.jpg \x85\nK\u0061\u0308fer;b,c.jpg\n",
        "image\tlabel\tsplit\na.jpg\t1\ttrain\nb.jpg\t2\tTESTING\n",
        "image|label|name|group\na.jpg|1|NULL|\nb.jpg|2||-1.50\n",
        "image,label\r\na.jpg,1\r\nb.jpg,N/A\r\n",
        "\ufeffimage,label\na.jpg,true\nb\u2028.jpg,2020-01-01\n",
    ],
)
def test_plain_tables_are_read_as_the_careful_reader_does(text: str, tmp_path: Path) -> None:
    plain = read_plain(written(tmp_path, text), NEEDED)
    assert plain is not None
    first, delimiter = text.splitlines()[0], next(mark for mark in ";\t|," if mark in text.splitlines()[0])
    quoted = delimiter.join(f'"{name}"' for name in first.lstrip("\ufeff").split(delimiter))
    careful = written(tmp_path, text.replace(first, quoted, 1))
    assert read_plain(careful, NEEDED) is None
    assert told(plain) == told(read_csv(careful))


@pytest.mark.parametrize(
    "data",
    [
        'image,label\n"a,b.jpg",1\n',
        "image,label\na.jpg,1\n\nb.jpg,2\n",
        "image,label\na.jpg,1\n,\nb.jpg,2\n",
        "image,label\na.jpg,1\nb.jpg\n",
        "image,label\na.jpg,1,2\n",
        "image,label\na.jpg, \n",
        "image,label\na.jpg,nan\n",
        "image,label\n",
        "image,label",
        "",
        "image,label\ra.jpg,1\r",
        "sep=;\nimage;label\na.jpg;1\n",
        "image,label,x,y,w,h\na.jpg,1,0,0,2,2\n",
        "image,label,is_test\na.jpg,1,0\n",
        "image,label,splt\na.jpg,1,train\n",
        "image,label,split\na.jpg,1,sometimes\n",
        "image,label,image\na.jpg,1,b.jpg\n",
        "image\na.jpg\n",
        f"image,label\n{'x' * 4097},1\n",
        "image,label\na.jpg,\0\n",
        "image,label\nä.jpg,1\n".encode("latin-1"),
        "image,label\na.jpg,1\n".encode("utf-16"),
    ],
)
def test_what_is_unusual_is_left_to_the_careful_reader(data: str | bytes, tmp_path: Path) -> None:
    assert read_plain(written(tmp_path, data), NEEDED) is None


def test_pictures_that_are_searched_need_no_label(tmp_path: Path) -> None:
    for text, labels in (("image\na.jpg\n", [""]), ("image,label\na.jpg,\nb.jpg,nan\n", ["", ""])):
        plain = read_plain(written(tmp_path, text), ["image"])
        assert plain is not None
        assert plain.label.tolist() == labels


def test_rows_are_numbered_as_in_the_file(tmp_path: Path) -> None:
    file = written(tmp_path, "image,label\n" + "".join(f"{row}.jpg,{row % 7}\n" for row in range(100_000)) + "x.jpg\n")
    with pytest.raises(DataError, match="row 100002: 1 cells under 2 columns"):
        read_csv(file)
