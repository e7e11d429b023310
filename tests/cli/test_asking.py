"""``bier search`` at a running server."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from colours import Colours, filled, painted
from commands import run
from servers import served

from bier.search import open_index
from bier.serve import ServeSettings


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    return painted(tmp_path / "photos")


@pytest.fixture
def address(request: pytest.FixtureRequest, tmp_path: Path, photos: list[Path]) -> Iterator[str]:
    """Of a server; a parameter is its token."""
    filled(tmp_path / "index", photos, "exact")
    settings = ServeSettings(marks=None, token=getattr(request, "param", None))
    with open_index(tmp_path / "index") as index, served(index, Colours(1), settings) as found:
        yield found


def test_it_answers_as_the_index_does(
    address: str, photos: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--top", "3", "--where", "label=class 1", "--where", "price<=5", "--exact", "--json"]
    code, out, error = run(capsys, "search", address, photos[5], *given)
    assert (code, error) == (0, "")
    encoder = Colours(1)
    with open_index(tmp_path / "index") as index:
        vector = encoder.encode([encoder.prepare(photos[5])]).numpy()
        [expected] = index.search(vector, 3, {"label": "class 1", "price": {"at_most": 5}})
    found = json.loads(out)
    assert [hit["id"] for hit in found["hits"]] == [hit.id for hit in expected]
    assert (found["exact"], found["recall"]) == (True, None)
    assert [hit["score"] for hit in found["hits"]] == pytest.approx([hit.score for hit in expected], abs=1e-6)
    assert found["confidence"] is None


def test_a_person_sees_a_table(address: str, photos: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "search", f"{address}/", photos[5], "--box", "0", "0", "20", "20")
    assert code == 0 and out.count("class 1") >= 4 and "1.0000" in out


def test_neither_torch_nor_an_engine_is_loaded(address: str, photos: list[Path]) -> None:
    script = (
        "import sys\n"
        "from bier.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit as ended: assert not ended.code\n"
        "heavy = {'torch', 'timm', 'lancedb', 'scipy', 'torchvision'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", script, "search", address, str(photos[5])], check=True)


@pytest.mark.parametrize("address", ["secret"], indirect=True)
def test_a_token_is_sent(
    address: str, photos: list[Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BIER_TOKEN", raising=False)
    code, _, error = run(capsys, "search", address, photos[5])
    assert code == 2 and "the token is missing or wrong" in error and "set BIER_TOKEN" in error
    monkeypatch.setenv("BIER_TOKEN", "secret")
    assert run(capsys, "search", address, photos[5])[0] == 0


def test_mistakes_are_one_message(
    address: str,
    photos: list[Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    (tmp_path / "text.jpg").write_text("no picture")
    for arguments, message in [
        (["http://127.0.0.1:9", photos[0]], "gives no answer"),
        ([f"{address}/elsewhere", photos[0]], "Not Found"),
        ([address, tmp_path / "none.jpg"], "cannot be read"),
        ([address, tmp_path / "text.jpg"], "text.jpg"),
        ([address, photos[0], "--staged"], "is decided by the server"),
        ([address, photos[0], "--recall", "0.9"], "is decided by the server"),
        ([address, photos[0], "--min-confidence", "0.5"], "has no calibration"),
        ([address, photos[0], "--where", "colour=red"], "no field 'colour'"),
        ([address, photos[0], "--learners", "7"], "learner"),
    ]:
        code, out, error = run(capsys, "search", *arguments)
        assert (code, out) == (2, ""), arguments
        assert message in error, error
