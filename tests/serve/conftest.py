"""A real server over a real index: photographs of cars, EfficientNet-lite0, an untrained head of three learners."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from servers import served

from bier.method.ensemble import EmbeddingEnsemble
from bier.network.create import create_backbone
from bier.network.model import RetrievalModel
from bier.network.model_file import save_model
from bier.search import Index, IndexInfo, create_index, open_index
from bier.serve import ServeSettings
from bier.vectors.encoder import Encoder

Serve = Callable[..., httpx.Client]
Fill = Callable[..., Index]
Open = Callable[..., Any]


@pytest.fixture(scope="session")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    backbone = create_backbone("efficientnet_lite0")
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    save_model(
        path, RetrievalModel(backbone, EmbeddingEnsemble(backbone.features, (16, 32, 48))), {"size": 96, "fit": "crop"}
    )
    return path


@pytest.fixture(scope="session")
def encoder(model_file: Path) -> Encoder:
    return Encoder.load(model_file)


@pytest.fixture(scope="session")
def cars(photographs: Path) -> list[Path]:
    """Ten classes of six photographs."""
    classes = sorted((photographs / "cars196" / "images").iterdir())[:10]
    return [picture for folder in classes for picture in sorted(folder.iterdir())[:6]]


@pytest.fixture(scope="session")
def fill(model_file: Path, encoder: Encoder) -> Fill:
    """Makes an index of pictures under ids such as ``001/00012.jpg``."""

    def make(folder: Path, pictures: list[Path], copies: int = 1, engine: str = "exact") -> Index:
        info = IndexInfo(encoder.fingerprint, encoder.sizes, encoder.scales, model_path=str(model_file))
        index = create_index(folder, info, engine)
        vectors = encoder.encode([encoder.prepare(picture) for picture in pictures]).numpy()
        metadata = [{"image": str(picture), "label": picture.parent.name} for picture in pictures]
        for copy in range(copies):
            suffix = f"#{copy}" if copies > 1 else ""
            index.add([f"{picture.parent.name}/{picture.name}{suffix}" for picture in pictures], vectors, metadata)
        return index

    return make


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory, fill: Fill, cars: list[Path]) -> Path:
    folder = tmp_path_factory.mktemp("indexes") / "cars"
    fill(folder, cars, engine="lancedb").close()
    return folder


@pytest.fixture
def serve(folder: Path, encoder: Encoder) -> Iterator[Serve]:
    """A client of a new server with the given settings."""
    with ExitStack() as stack:

        def start(encoder: Encoder = encoder, index: Index | None = None, **settings: object) -> httpx.Client:
            opened = stack.enter_context(index or open_index(folder))  # closed after the server
            address = stack.enter_context(served(opened, encoder, ServeSettings(**settings)))  # type: ignore[arg-type]
            return stack.enter_context(httpx.Client(base_url=address, timeout=30, trust_env=False))

        yield start


@pytest.fixture
def visit(browser: Any) -> Iterator[Open]:
    """Opens the page of a server in a window of its own; errors in the page's console fail the test."""
    contexts, complaints = [], []

    def open_page(client: httpx.Client, path: str = "/", **options: Any) -> Any:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "console", lambda message: complaints.append(message.text) if "Content Security" in message.text else None
        )
        outside = "**/*"
        page.route(
            outside,
            lambda route: (
                route.continue_()
                if route.request.url.startswith(str(client.base_url))
                else complaints.append(route.request.url)
            ),
        )
        page.goto(str(client.base_url) + path)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []
