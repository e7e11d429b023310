"""Tables with everything in them: from a CSV or Parquet file with photographs to filtered answers."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas
import pytest
import torch
from folders import some_birds

from bier.cli import main
from bier.method.ensemble import EmbeddingEnsemble
from bier.network.create import create_backbone
from bier.network.model import RetrievalModel
from bier.network.model_file import save_model
from bier.search import open_index

Run = Callable[..., tuple[int, str, str]]
HEADER = ["image", "Label", "id", "Price (EUR)", "sold", "stock", "added", "tags", "size", "url"]
TYPES = {"price_eur": "decimal", "sold": "yes/no", "stock": "whole", "added": "date", "tags": "texts"}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    backbone = create_backbone("efficientnet_lite0")
    folder = tmp_path_factory.mktemp("model")
    ensemble = EmbeddingEnsemble(backbone.features, (16, 32))
    save_model(folder / "model.safetensors", RetrievalModel(backbone, ensemble), {"size": 64, "fit": "crop"})
    return folder


@pytest.fixture
def shop(photographs: Path, tmp_path: Path) -> Path:
    """Six photographs of two classes, and a table of products."""
    root = tmp_path / "shop"
    some_birds(photographs, root, classes=2, images=3)
    pictures = sorted(root.rglob("*.jpg"))
    rows = [
        [
            picture.relative_to(root).as_posix(),
            picture.parent.name,
            f"00{row}",
            f"{10 * row + 0.5}" if row else "",
            "yes" if row % 2 else "no",
            row,
            f"2024-01-0{row + 1}",
            json.dumps(["bird", "red"] if row > 2 else ["bird"]),
            "L" if row == 4 else 40 + row,
            f"https://shop.example/{row}",
        ]
        for row, picture in enumerate(pictures)
    ]
    with (root / "products.csv").open("w", newline="") as file:
        csv.writer(file).writerows([HEADER, *rows])
    return root


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("COLUMNS", "400")

    def command(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stopped:
            main([str(argument) for argument in arguments])
        out, error = capsys.readouterr()
        code = stopped.value.code
        return (code if isinstance(code, int) else 0), out, error

    return command


def found(run: Run, index: Path, query: Path, *where: str) -> list[dict[str, Any]]:
    options = [text for one in where for text in ("--where", one)]
    code, out, error = run("search", index, query, "--json", *options)
    assert code == 0, error
    hits: list[dict[str, Any]] = json.loads(out)["hits"]
    return hits


def test_from_a_table_to_filtered_answers(shop: Path, model: Path, tmp_path: Path, run: Run) -> None:
    index, table = tmp_path / "index", shop / "products.csv"
    query = next(shop.rglob("*.jpg"))
    code, out, error = run("index", table, "-o", index, "--model", model)
    assert code == 0, error
    assert "fields: table_id (text), price_eur (decimal), sold (yes/no), stock (whole), added (date)" in out
    assert "size (text: '40' and 'L' are of different types)" in out
    with open_index(index) as opened:
        assert opened.info.types == TYPES
        assert opened.info.fields[2:] == ("table_id", *TYPES, "size", "url")

    def stocks(*where: str) -> list[int]:
        return sorted(hit["metadata"]["stock"] for hit in found(run, index, query, *where))

    assert stocks("price_eur>=20", "price_eur<40.5") == [2, 3]
    assert stocks("stock=1", "stock=4", "sold!=yes") == [4]
    assert stocks("tags=red", "added<=2024-01-05") == [3, 4]
    assert stocks("price_eur=") == [0]
    [hit] = found(run, index, query, "table_id=003")
    assert hit["metadata"]["price_eur"] == 30.5
    assert hit["metadata"]["tags"] == ["bird", "red"]
    code, out, _ = run("search", index, query, "--where", "stock=3", "--html", tmp_path / "page.html")
    assert "price_eur=30.5" in out
    assert "sold=yes" in out
    assert 'href="https://shop.example/3"' in (tmp_path / "page.html").read_text()
    code, _, error = run("search", index, query, "--where", "prices_eur<20")
    assert (code, "did you mean 'price_eur'" in error) == (2, True)
    assert "price_eur (decimal)" in run("index", "info", index)[1]

    assert "0 added, 0 replaced, 6 unchanged" in run("index", table, "-o", index, "--model", model)[1]
    text = table.read_text()
    table.write_text(text.replace("30.5", "cheap"))
    code, _, error = run("index", table, "-o", index, "--model", model)
    assert code == 2
    assert "row 5" in error
    assert "'cheap' is not a number" in error
    table.write_text(text.replace("L,", "44,"))  # whole numbers, where the index has texts
    assert "1 replaced, 5 unchanged" in run("index", table, "-o", index, "--model", model)[1]


def test_vectors_of_a_parquet_file_keep_its_columns(shop: Path, model: Path, tmp_path: Path, run: Run) -> None:
    pictures = sorted(path.relative_to(shop).as_posix() for path in shop.rglob("*.jpg"))
    frame = pandas.DataFrame(
        {
            "image": pictures,
            "price": [None, 1.0, 2.0, 3.0, 4.0, 5.0],
            "tags": [["a"], ["b"], [], None, ["a", "b"], ["c"]],
            "added": pandas.to_datetime([f"2024-01-0{day}" for day in range(1, 7)]),
            "sizes": [[1, 2]] * 6,
        }
    )
    frame.to_parquet(shop / "table.parquet")
    vectors, index = tmp_path / "vectors", tmp_path / "index"
    code, out, error = run("embed", model, shop / "table.parquet", "-o", vectors)
    assert code == 0, error
    assert "fields: price (decimal), tags (texts), added (date)" in out
    assert "left out: the column 'sizes'" in out
    assert run("index", vectors, "-o", index, "--model", model)[0] == 0
    hits = found(run, index, shop / pictures[0], "price<4", "tags!=b")
    assert sorted(hit["metadata"]["added"] for hit in hits) == ["2024-01-03", "2024-01-04"]

    frame.assign(price=[f"{row} EUR" for row in range(6)]).to_parquet(shop / "other.parquet")
    code, _, error = run("index", shop / "other.parquet", "-o", index, "--model", model)
    assert code == 2
    assert "the column 'price' is text, and the index" in error

    old = tmp_path / "old"
    frame[["image"]].to_parquet(shop / "plain.parquet")
    assert run("index", shop / "plain.parquet", "-o", old, "--model", model)[0] == 0
    assert "types" not in json.loads((old / "index.json").read_text())
    assert "left out: price, tags, added: the index has no such fields" in run("index", vectors, "-o", old)[1]
