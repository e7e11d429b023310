"""The app: routes, page and guard around one index and its model."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from importlib.resources import files
from pathlib import Path

from fastapi import FastAPI, Response
from jinja2 import Environment, PackageLoader

from bier import __version__
from bier.report.drawing import SCRIPT, STYLE, drawing
from bier.search import Index, check_model
from bier.search.stages import silent
from bier.serve.following import Follow, Following
from bier.serve.guard import Guard
from bier.serve.json_body import describe
from bier.serve.marks import MarksFile
from bier.serve.metrics import Metrics
from bier.serve.problems import answer_problems
from bier.serve.routes import api, watch
from bier.serve.schemas import Marks, SearchRequest
from bier.serve.service import Service
from bier.serve.settings import ServeSettings
from bier.serve.threads import Threads
from bier.serve.uploads import KeptUploads
from bier.vectors.encoder import PictureEncoder

KINDS = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
"""Files of the page that have a path of their own."""


def create_app(
    index: Index, encoder: PictureEncoder, settings: ServeSettings | None = None, follow: Follow | None = None
) -> FastAPI:
    """The search server as an ASGI app.

    Args:
        index: open.
        encoder: the index's model.
        settings: limits, and where things are kept.
        follow: how to go over to another model after `bier index rebuild`; None: after a restart.

    Raises:
        SearchError: another model filled the index, or it is to answer in stages and holds one learner only.
        StorageError: uploads are to be kept in a folder that cannot be made.
    """
    check_model(index, encoder)
    settings, metrics = settings or ServeSettings(), Metrics()
    make = partial(Service, settings=settings, metrics=metrics, tell=silent if follow is None else follow.tell)
    following = Following(make(index, encoder), make, follow, settings.seconds)
    app = FastAPI(
        title="bier",
        version=__version__,
        summary="Search for pictures by pictures.",
        docs_url=None,  # these two pages load their scripts from elsewhere
        redoc_url=None,
        lifespan=_running(following),
    )
    app.state.following, app.state.settings, app.state.metrics = following, settings, metrics
    app.state.parsing = Threads("parse", 1)
    app.state.marks = None if settings.marks is None else MarksFile(settings.marks)
    app.state.uploads = None if settings.uploads is None else KeptUploads(settings.uploads, settings.uploads_bytes)
    answer_problems(app)
    app.include_router(api)
    app.include_router(watch)
    describe(app, SearchRequest, Marks)
    _add_page(app)
    app.add_middleware(Guard, settings=settings, metrics=metrics)
    return app


def _running(following: Following):  # type: ignore[no-untyped-def]
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        following.start()
        yield
        following.stop()
        app.state.parsing.stop()

    return lifespan


def _add_page(app: FastAPI) -> None:
    """The page's few files, read once, under paths of their own."""
    folder = files("bier.serve") / "page"
    _add_document(app, "/", (folder / "index.html").read_text(encoding="utf-8"), "text/html")
    for file in folder.iterdir():
        kind = KINDS.get(Path(file.name).suffix)
        if kind is not None:
            _add_document(app, f"/{file.name}", file.read_text(encoding="utf-8"), kind)
    _add_document(app, "/map", (folder / "map.html").read_text(encoding="utf-8"), "text/html")
    for name in (SCRIPT, STYLE):
        _add_document(app, f"/{name}", drawing(name), KINDS[Path(name).suffix])
    environment = Environment(loader=PackageLoader("bier.serve", "page"), autoescape=True, trim_blocks=True)
    _add_document(app, "/api", environment.get_template("api.html").render(spec=app.openapi()), "text/html")


def _add_document(app: FastAPI, path: str, text: str, kind: str) -> None:
    async def document() -> Response:
        return Response(text, media_type=f"{kind}; charset=utf-8", headers={"Cache-Control": "no-cache"})

    app.add_api_route(path, document, include_in_schema=False)
