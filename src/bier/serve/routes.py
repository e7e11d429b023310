"""The paths of the API. A picture is named by its id; no path of a request reaches the file system."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import torch
from fastapi import APIRouter, Depends, File, Form, Query, Request, Response, UploadFile
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import StringConstraints, TypeAdapter, ValidationError
from torch import Tensor

from bier.data.box import BOX_REMEDY, Box, checked_box
from bier.search.confident import Answer
from bier.serve import schemas
from bier.serve.following import Following
from bier.serve.json_body import described, parsed
from bier.serve.marks import MarksFile
from bier.serve.metrics import Metrics
from bier.serve.problems import Refusal
from bier.serve.service import Service, Uploaded, read_name
from bier.serve.settings import ServeSettings
from bier.serve.thumbnails import SIDES
from bier.serve.uploads import KeptUploads
from bier.system import json_values

JPEG: dict[int | str, dict[str, Any]] = {200: {"content": {"image/jpeg": {}}, "description": "A JPEG."}}
CSV: dict[int | str, dict[str, Any]] = {200: {"content": {"text/csv": {}}, "description": "A CSV file."}}
TEXT: dict[int | str, dict[str, Any]] = {200: {"content": {"text/plain": {}}, "description": "Prometheus text."}}
MOST_PICTURES = 8
PROBLEMS = {
    400: "The body cannot be read.",
    401: "The token is missing or wrong.",
    403: "Another site's page asked.",
    404: "There is no such picture.",
    409: "The index was rebuilt with another model.",
    408: "The request came too slowly.",
    413: "The body is too large.",
    421: "Another host is meant.",
    422: "A picture or value cannot be used.",
    429: "Too many uploads or connections; see Retry-After.",
    503: "The search engine cannot be reached, or too many connections.",
    504: "It took too long.",
    507: "The disk is full, or as many uploads are kept as may be.",
}


def _service(request: Request) -> Service:
    following: Following = request.app.state.following
    return following()


def _marks(request: Request) -> MarksFile:
    marks: MarksFile | None = request.app.state.marks
    if marks is None:
        raise Refusal(404, "this server keeps no marks", "start it with bier serve INDEX")
    return marks


def _uploads(request: Request) -> KeptUploads:
    uploads: KeptUploads | None = request.app.state.uploads
    if uploads is None:
        raise Refusal(404, "this server keeps no uploads", "start it with bier serve INDEX --keep-uploads FOLDER")
    return uploads


ServiceHere = Annotated[Service, Depends(_service)]
MarksHere = Annotated[MarksFile, Depends(_marks)]
UploadsHere = Annotated[KeptUploads, Depends(_uploads)]
Asked = Annotated[schemas.SearchRequest, Depends(parsed(schemas.SearchRequest))]
Given = Annotated[schemas.Marks, Depends(parsed(schemas.Marks))]
Files = Annotated[list[UploadFile], File(max_length=MOST_PICTURES)]
Boxes = Annotated[
    list[Annotated[str, StringConstraints(max_length=200)]],
    Form(
        max_length=MOST_PICTURES,
        description="The part that is meant, for each picture in turn: `[left, top, width, height]` in pixels of the "
        "upright picture, or `null` for all of it.",
    ),
]
Ids = Annotated[list[schemas.Id], Form(max_length=schemas.MOST_EXAMPLES)]
_FILTER = 'JSON, such as `{"label": ["boots", "shoes"], "price": {"at_least": 10, "below": 20}}`.'
WhereText = Annotated[str, Form(max_length=100_000, description=_FILTER)]
WhereQuery = Annotated[str, Query(max_length=10_000, description=_FILTER)]

api = APIRouter(
    prefix="/api",
    responses={status: {"model": schemas.Problem, "description": text} for status, text in PROBLEMS.items()},
)
watch = APIRouter()


@api.get("/info")
async def info(request: Request, service: ServiceHere) -> schemas.Info:
    """What is served: the index, its model, and the limits of a request."""
    settings: ServeSettings = request.app.state.settings
    about = service.index.info
    return schemas.Info(
        title=settings.title,
        count=await service.count(),
        engine=about.engine,
        model=about.model,
        sizes=list(about.sizes),
        fields=service.fields,
        types=dict(about.types),
        calibrated=await service.calibrated(),
        rerank=settings.rerank,
        marks=settings.marks is not None,
        keeps_uploads=settings.marks is not None and settings.uploads is not None,
        limits=schemas.Limits(
            body=settings.body,
            pixels=settings.pixels,
            seconds=settings.seconds,
            top=schemas.MOST_HITS,
            examples=schemas.MOST_EXAMPLES,
            pictures=MOST_PICTURES,
        ),
    )


@api.post("/search", openapi_extra=described(schemas.SearchRequest))
async def search(service: ServiceHere, asked: Asked) -> schemas.Found:
    """The pictures most like some examples, which are given by id or as vectors; several are averaged."""
    started = time.perf_counter()
    _check_model(asked, service)
    like, unlike = _vectors(asked.vectors), _vectors(asked.unlike_vectors)
    query = await service.query(like, unlike, asked.ids, asked.unlike_ids, asked.unlike_weight)
    known = {*asked.ids, *asked.unlike_ids}
    one = _is_one([*asked.vectors, *asked.ids], [*asked.unlike_vectors, *asked.unlike_ids])
    where = schemas.plain(asked.where)
    answer = await service.search(
        query, asked.top, asked.learners, where, known, judged=one, rerank=asked.rerank, exact=asked.exact
    )
    return schemas.Found(**_answered(answer), milliseconds=_since(started))


@api.post("/search/pictures")
async def search_by_pictures(
    service: ServiceHere,
    picture: Files = [],  # noqa: B006 (FastAPI copies it)
    unlike_picture: Files = [],  # noqa: B006
    box: Boxes = [],  # noqa: B006
    unlike_box: Boxes = [],  # noqa: B006
    id: Ids = [],  # noqa: B006
    unlike_id: Ids = [],  # noqa: B006
    unlike_weight: Annotated[schemas.UnlikeWeight, Form()] = 0.5,
    top: Annotated[schemas.Top, Form()] = 24,
    learners: Annotated[schemas.Learners, Form()] = None,
    rerank: Annotated[schemas.Rerank, Form()] = None,
    exact: Annotated[schemas.Exact, Form()] = False,
    where: WhereText = "{}",
) -> schemas.FoundByPicture:
    """The same with uploaded pictures: fields `picture` and `unlike_picture`, each as often as needed."""
    started = time.perf_counter()
    like, unlike = await _uploaded(picture, box), await _uploaded(unlike_picture, unlike_box)
    filters = _where(where)
    vectors = await service.embed([*like, *unlike])
    query = await service.query(vectors[: len(like)], vectors[len(like) :], id, unlike_id, unlike_weight)
    one = _is_one([*like, *id], [*unlike, *unlike_id])
    answer = await service.search(
        query, top, learners, filters, {*id, *unlike_id}, judged=one, rerank=rerank, exact=exact
    )
    hashes = [upload.sha256 for upload in [*like, *unlike]]
    return schemas.FoundByPicture(**_answered(answer), milliseconds=_since(started), sha256=hashes)


@api.post("/embed")
async def embed(
    service: ServiceHere,
    picture: UploadFile,
    box: Boxes = [],  # noqa: B006
) -> schemas.Embedded:
    """The vector of a picture, to search with again and again; and its sha256, by which marks name it."""
    [upload] = await _uploaded([picture], box)
    [vector] = await service.embed([upload])
    return schemas.Embedded(vector=vector.tolist(), sha256=upload.sha256, model=service.encoder.fingerprint)


@api.get("/pictures")
async def pictures(
    service: ServiceHere,
    offset: Annotated[int, Query(ge=0, le=2**40)] = 0,
    limit: Annotated[int, Query(ge=1, le=schemas.MOST_LISTED)] = 100,
    where: WhereQuery = "{}",
) -> schemas.Listed:
    """A page of what is in the index, sorted by id."""
    entries, count = await service.page(offset, limit, _where(where))
    return schemas.Listed(pictures=[_picture(*entry) for entry in entries], count=count)


@api.get("/values")
async def values(
    service: ServiceHere,
    field: Annotated[schemas.FieldName, Query(description="A field that `where` may name.")],
    part: Annotated[
        str, Query(max_length=200, description="What the values hold; case and accents do not count.")
    ] = "",
    limit: Annotated[int, Query(ge=1, le=schemas.MOST_VALUES)] = 100,
) -> schemas.Values:
    """The values of a field, each with its number of pictures: what a filter can offer."""
    found = await service.values(field, part, limit)
    counted = [schemas.CountedValue(value=value, count=count) for value, count in found.values]
    return schemas.Values(values=counted, count=found.count, nearest=found.nearest)


@api.get("/map")
async def picture_map(service: ServiceHere) -> schemas.Map:
    """Where the pictures lie on the map that `bier index map` has drawn."""
    now = await service.map()
    drawn = now.drawn
    return schemas.Map(
        version=drawn.version,
        ids=drawn.ids,
        x=drawn.x,
        y=drawn.y,
        here=[record is not None for record in now.known],
        drawn_from=drawn.pictures,
        gone=now.gone,
        changed=now.changed,
        new=now.new,
    )


@api.get("/map/values")
async def map_values(
    service: ServiceHere,
    field: Annotated[schemas.FieldName, Query(description="A field that `where` may name.")],
) -> schemas.MapValues:
    """A field's value for each point of the map: what it can be coloured by."""
    now, found = await service.map_values(field)
    return schemas.MapValues(version=now.drawn.version, values=found)


@api.get("/thumbnail", response_class=Response, responses=JPEG)
async def thumbnail(
    service: ServiceHere,
    id: Annotated[schemas.Id, Query()],
    side: Literal["320", "960", "full"] = "320",
    whole: Annotated[bool, Query(description="Of an object: all of its picture, and not its part alone.")] = False,
) -> Response:
    """A copy of a picture, upright and without metadata; `side` is the longer one in pixels, `full` as it is."""
    content = await service.thumbnail(id, SIDES[side], whole=whole)
    return Response(content, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=600"})


@api.post("/marks", openapi_extra=described(schemas.Marks))
async def mark(request: Request, service: ServiceHere, file: MarksHere, given: Given) -> schemas.Saved:
    """Save good and bad results as pairs for the next training.

    Where the server keeps uploads, `wanted` names those that it does not have yet. An upload whose marks are all taken
    back is removed.
    """
    for pair in given.marks:
        if (pair.query is None) == (pair.sha256 is None):
            raise Refusal(422, "a mark needs either query or sha256", "name the example that was searched from")
    ids = {name for pair in given.marks for name in (pair.query, pair.result) if name is not None}
    await service.stored(sorted(ids))
    saved = await asyncio.to_thread(file.append, given.marks)
    uploads: KeptUploads | None = request.app.state.uploads
    wanted = [] if uploads is None else await asyncio.to_thread(_wanted, file, uploads, given.marks)
    return schemas.Saved(saved=saved, wanted=wanted)


@api.post("/uploads")
async def keep(service: ServiceHere, file: MarksHere, uploads: UploadsHere, picture: UploadFile) -> schemas.Kept:
    """Keep an uploaded picture that a mark names, for training: of its pixels alone, without place, time or camera."""
    upload = Uploaded(read_name(picture.filename, 0), await picture.read())
    if not await asyncio.to_thread(file.marked, upload.sha256):
        raise Refusal(422, f"{upload.name}: no mark names this picture", "mark a result of it first")
    content = await service.without_metadata(upload)
    await asyncio.to_thread(uploads.keep, upload.sha256, content)
    return schemas.Kept(sha256=upload.sha256)


@api.get("/marks.csv", response_class=PlainTextResponse, responses=CSV)
async def pairs(file: MarksHere) -> Response:
    """All pairs that were marked, each with its last verdict."""
    headers = {"Content-Disposition": 'attachment; filename="pairs.csv"'}
    return Response(await asyncio.to_thread(file.pairs), media_type="text/csv; charset=utf-8", headers=headers)


@watch.get("/health")
async def health() -> schemas.Health:
    """The process answers."""
    return schemas.Health(status="ok")


@watch.get("/ready", responses={503: {"model": schemas.Problem}})
async def ready(service: ServiceHere) -> schemas.Health:
    """Model and engine answer, too."""
    if not service.batches.alive:
        raise Refusal(503, "the model is not running", "start the server again")
    await service.count()
    return schemas.Health(status="ready")


@watch.get("/metrics", response_class=PlainTextResponse, responses=TEXT)
async def metrics(request: Request) -> Response:
    """For Prometheus."""
    measured: Metrics = request.app.state.metrics
    return Response(measured.text(), media_type=CONTENT_TYPE_LATEST)


async def _uploaded(files: Sequence[UploadFile], boxes: Sequence[str]) -> list[Uploaded]:
    if boxes and len(boxes) != len(files):
        raise Refusal(422, f"{len(boxes)} boxes for {len(files)} pictures", "give one for each picture, or none at all")
    names = [read_name(file.filename, i) for i, file in enumerate(files)]
    parts = [_box(text, name) for text, name in zip(boxes, names, strict=True)] if boxes else [None] * len(files)
    return [Uploaded(name, await file.read(), part) for name, file, part in zip(names, files, parts, strict=True)]


def _wanted(file: MarksFile, uploads: KeptUploads, marks: Sequence[schemas.Mark]) -> list[str]:
    """Uploads among the marks that are not kept yet; those without a mark are not kept any longer."""
    wanted = []
    for sha256 in sorted({mark.sha256 for mark in marks if mark.sha256 is not None}):
        if not file.marked(sha256):
            uploads.remove(sha256)
        elif not uploads.has(sha256):
            wanted.append(sha256)
    return wanted


def _box(text: str, name: str) -> Box | None:
    try:
        return checked_box(json_values.parse(text), name)
    except ValueError:
        raise Refusal(422, f"{name}: {text[:80]} is no box", BOX_REMEDY) from None


def _check_model(asked: schemas.SearchRequest, service: Service) -> None:
    if asked.model not in (None, service.encoder.fingerprint):
        raise Refusal(409, "the vectors are of another model than the index", "take them from /api/embed again")


def _vectors(rows: list[list[float]]) -> Tensor:
    if len({len(row) for row in rows}) > 1:
        raise Refusal(422, "vectors of different lengths", "take them from /api/embed")
    return torch.tensor(rows, dtype=torch.float32) if rows else torch.empty(0, 0)


_WHERE: TypeAdapter[schemas.Where] = TypeAdapter(schemas.Where)


def _where(text: str) -> dict[str, Any]:
    try:
        return schemas.plain(_WHERE.validate_json(text))
    except ValidationError:
        raise Refusal(422, "where is not a filter", 'write JSON such as {"label": ["boots", "shoes"]}') from None


def _picture(name: str, metadata: dict[str, Any]) -> schemas.Picture:
    return schemas.Picture(id=name, label=metadata.get("label"), metadata=_public(metadata))


def _is_one(like: Sequence[object], unlike: Sequence[object]) -> bool:
    """One example and no other: of averages, no chances are known."""
    return len(like) == 1 and not unlike


def _answered(answer: Answer) -> dict[str, Any]:
    hits = [
        schemas.FoundPicture(**_picture(hit.id, hit.metadata).model_dump(), score=hit.score, reranked=hit.reranked)
        for hit in answer.hits
    ]
    expected = answer.expected
    return {
        "hits": hits,
        "confidence": answer.confidence,
        "known": answer.known,
        "absent": answer.absent,
        "exact": expected is None,
        "recall": None if expected is None else expected.recall,
    }


def _public(metadata: dict[str, Any]) -> dict[str, Any]:
    """Without the picture's place on this machine."""
    return {field: value for field, value in metadata.items() if field != "image"}


def _since(started: float) -> float:
    return round(1000 * (time.perf_counter() - started), 2)
