"""A model folder: pushed to a hub and fetched again it is the same model, and its card tells the run's story."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
import yaml
from huggingface_hub import ModelCard
from torch import Tensor

from bier.errors import ConfigError
from bier.export import load_encoder, write_folder
from bier.export.card import weights_licence
from bier.network.hub import local_path
from bier.network.model_file import load_model
from bier.vectors.encoder import Encoder


@pytest.fixture(scope="module")
def folder(encoder: Encoder, run_folder: Path, images: Tensor, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("hub") / "cars"
    assert write_folder(encoder, run_folder, out, images, "shop/cars").holds
    return out


def test_it_is_loaded_as_a_run_is(folder: Path, encoder: Encoder, images: Tensor) -> None:
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    loaded = load_encoder(folder)
    assert loaded.fingerprint == encoder.fingerprint
    assert torch.equal(loaded.encode(images[:3]), encoder.encode(images[:3]))
    assert load_model(folder)[1].sizes == (8, 16)
    config = json.loads((folder / "config.json").read_text())
    assert (config["library_name"], config["fingerprint"]) == ("bier", encoder.fingerprint)


def test_the_card_holds_the_runs_figures(folder: Path, run_folder: Path, photos: Path) -> None:
    card = ModelCard.load(folder / "README.md")
    metrics = json.loads((run_folder / "metrics.json").read_text())
    stated = {result.metric_name: result.metric_value for result in card.data.eval_results or []}
    [best] = (row for row in metrics["rows"] if row["kind"] == "ensemble")
    assert stated["Recall@1"] == pytest.approx(best["recall"]["1"], abs=1e-4)
    assert stated["MAP@R"] == pytest.approx(best["map_at_r"], abs=1e-4)
    for row in metrics["rows"]:
        cells = [row["name"], row["dimensions"], *(f"{100 * value:.1f}" for value in row["recall"].values())]
        assert f"| {' | '.join(map(str, cells))} |" in card.text
    for part in ("shop/cars", photos.name, "30 test", "apache-2.0", "efficientnet_lite0", "64 by 64", "stagewise"):
        assert part in card.text, part
    assert str(photos) not in card.content, "where the pictures lie is nobody's business"


def test_a_bare_model_file_gets_a_card_too(encoder: Encoder, run_folder: Path, images: Tensor, tmp_path: Path) -> None:
    file = tmp_path / "bare" / "birds.safetensors"
    file.parent.mkdir()
    file.write_bytes((run_folder / "model.safetensors").read_bytes())
    write_folder(encoder, file, tmp_path / "out", images)
    card = (tmp_path / "out" / "README.md").read_text()
    assert "Not measured" in card
    assert "model-index" not in yaml.safe_load(card.split("---")[1])


def test_what_was_there_is_not_mixed_with_a_model(
    folder: Path, encoder: Encoder, run_folder: Path, images: Tensor, tmp_path: Path
) -> None:
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(ConfigError, match="holds other things already"):
        write_folder(encoder, run_folder, tmp_path, images)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]
    before = (folder / "model.safetensors").read_bytes()
    write_folder(encoder, run_folder, folder, images, "shop/cars")  # its own work is done again
    assert (folder / "model.safetensors").read_bytes() == before


def test_licences_of_weights() -> None:
    assert weights_licence("efficientnet_lite0", "default")[1] == "apache-2.0"
    assert weights_licence("resnet18.a1_in1k", None)[1] == "apache-2.0"
    assert weights_licence("googlenet", "default")[1] is None
    assert weights_licence("resnet18", "none")[1] is None
    assert weights_licence("resnet18", "/home/me/shop.pth") == ("a file of the author's, shop.pth", None)


class Hub(BaseHTTPRequestHandler):
    """As much of a model hub as its own client needs to upload small files and to fetch them."""

    protocol_version = "HTTP/1.1"
    files: dict[str, bytes]
    private: list[str]
    COMMIT = "c" * 40

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        address = f"http://{self.headers['Host']}/shop/cars"
        if self.headers.get("Authorization") != "Bearer secret":
            self.answer({"error": "who are you?"}, 401)
        elif self.path == "/api/repos/create":
            self.private.append(json.loads(body)["visibility"])
            self.answer({"url": address})
        elif "/preupload/" in self.path:
            named = json.loads(body)["files"]
            self.answer({"files": [{"path": f["path"], "uploadMode": "regular"} | NOTHING_IGNORED for f in named]})
        elif "/commit/" in self.path:
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    self.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            self.answer({"commitOid": self.COMMIT, "commitUrl": f"{address}/commit/{self.COMMIT}", "success": True})
        else:
            self.answer({"errors": [], "warnings": []})

    def do_GET(self) -> None:
        if not self.path.startswith(("/api/models/shop/cars", "/shop/cars/")):
            return self.answer({"error": "Repository not found"}, 404, {"X-Error-Code": "RepoNotFound"})
        path = self.path.partition("?")[0]
        if "/resolve/" in path:
            content = self.files[path.rpartition("/")[2]]
            tags = {"ETag": f'"{hash(content):x}"', "X-Repo-Commit": self.COMMIT}
            return self.answer(content, 200, tags)
        if "/tree/" in path:
            listed = self.files.items()
            return self.answer([{"type": "file", "path": k, "size": len(v), "oid": "b" * 40} for k, v in listed])
        siblings = [{"rfilename": name} for name in self.files]
        return self.answer({"id": "shop/cars", "sha": self.COMMIT, "siblings": siblings})

    def do_HEAD(self) -> None:
        self.do_GET()

    def answer(self, content: object, status: int = 200, headers: dict[str, str] | None = None) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


NOTHING_IGNORED = {"shouldIgnore": False}


@pytest.fixture
def hub() -> Iterator[tuple[type[Hub], dict[str, str]]]:
    """A server, and the environment in which the hub's client finds it."""
    handler = type("Here", (Hub,), {"files": {}, "private": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield handler, {"HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "NO_PROXY": "127.0.0.1"}
        server.shutdown()


def python(arguments: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """In a process of its own: the hub's client reads its environment when it is imported."""
    return subprocess.run(
        [sys.executable, "-W", "error", *arguments], env={**os.environ, **environment}, capture_output=True, text=True
    )


FETCH = """
import sys
from bier import load_model
from bier.network.hub import local_path
load_model(sys.argv[1])
print(local_path(sys.argv[1]))
"""
PUSH = "import sys; from pathlib import Path; from bier.network.hub import push; push(Path(sys.argv[1]), 'shop/cars')"


@pytest.mark.slow
def test_a_model_goes_to_the_hub_and_comes_back(
    hub: tuple[type[Hub], dict[str, str]], folder: Path, run_folder: Path, tmp_path: Path
) -> None:
    server, where = hub
    environment = {**where, "HF_HOME": str(tmp_path / "cache"), "HF_TOKEN": "secret"}

    refused = python(["-c", PUSH, str(folder)], environment | {"HF_TOKEN": "wrong"})
    assert "ModelError: shop/cars: cannot be pushed" in refused.stderr
    assert server.files == {}

    command = ["export", str(run_folder), "--to", "safetensors-hub", "--push", "shop/cars", "-o", str(tmp_path / "out")]
    done = python(["-m", "bier.cli", *command], environment)
    assert done.returncode == 0, done.stderr
    assert f"pushed: {where['HF_ENDPOINT']}/shop/cars/commit/" in done.stdout
    assert server.private == ["private"]
    assert server.files == {path.name: path.read_bytes() for path in folder.iterdir()}

    done = python(["-c", FETCH, "hub:shop/cars"], environment)
    assert done.returncode == 0, done.stderr
    fetched = Path(done.stdout.strip())
    assert Encoder.load(fetched).fingerprint == Encoder.load(run_folder).fingerprint

    unknown = python(["-c", FETCH, "hub:shop/boats"], environment)
    assert "ModelError: hub:shop/boats: cannot be fetched" in unknown.stderr


@pytest.mark.slow
def test_a_hub_out_of_reach(tmp_path: Path) -> None:
    nowhere = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path), "NO_PROXY": "127.0.0.1"}
    failed = python(["-c", FETCH, "hub:shop/cars"], nowhere)
    assert "ModelError: hub:shop/cars: cannot be fetched" in failed.stderr
    assert "check the name, the network" in failed.stderr


def test_names_on_a_hub() -> None:
    assert local_path("runs/cars") == Path("runs/cars")
    for name in ("hub:cars", "hub:", "hub:a/b/c", "hub:shop/ca rs"):
        with pytest.raises(ConfigError, match="not a model's name"):
            local_path(name)
