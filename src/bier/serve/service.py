"""What the server does, without HTTP: examples to a query, a query to hits, an id to its picture."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bier.data.box import Box
from bier.data.fields import Value
from bier.errors import ImageError, SearchError
from bier.method.ensemble import EPSILON
from bier.search import Index, Record, StagedSearch, choose_learners, parse_learners, query_vectors
from bier.search.approximate import Exactly
from bier.search.calibration_file import CurrentCalibration
from bier.search.confident import Answer, ConfidentSearch
from bier.search.mapping import MapNow
from bier.search.reranked import RankAgain
from bier.search.stages import Tell, silent
from bier.serve.batching import Batches
from bier.serve.decoding import Decoder
from bier.serve.listing import Entry, Listing
from bier.serve.mapped import Mapped, values
from bier.serve.metrics import Metrics
from bier.serve.problems import Refusal
from bier.serve.recent import Recent
from bier.serve.settings import ServeSettings
from bier.serve.threads import Threads
from bier.serve.thumbnails import SIDES, Thumbnails, jpeg
from bier.serve.values import Matches, Values
from bier.vectors.encoder import PictureEncoder
from bier.vectors.objects import box_of

RECENT = 5000
"""Pictures of which it is known for a while what was answered: some pages."""
KEPT_QUALITY = 95
"""Of an upload that is kept as a JPEG: nothing is lost that training would see."""
Vectors = NDArray[np.float32]
Where = Mapping[str, Any]
T = TypeVar("T")


@dataclass(frozen=True)
class Uploaded:
    """A picture that a request brought."""

    name: str
    content: bytes
    box: Box | None = None
    """The part of it that is meant."""

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


class Service:
    """An index and its model. Everything that takes time happens in threads."""

    def __init__(
        self, index: Index, encoder: PictureEncoder, settings: ServeSettings, metrics: Metrics, tell: Tell = silent
    ) -> None:
        self.index = index
        self.encoder = encoder
        self.batches = Batches(encoder.encode, settings.batch, settings.wait, metrics.batch)
        self.fields = [field for field in index.info.fields if field != "image"]
        self._usual = None if settings.rerank is None else RankAgain.asked(settings.rerank, always=False)
        self._staged = StagedSearch(index, recall=settings.recall, tell=tell) if settings.staged else None
        self._whole = self._staged or index
        self._calibration = CurrentCalibration(index, encoder)
        self._metrics = metrics
        self._listing = Listing(index, settings.listed)
        self._values = Values(index)
        self._recent = Recent(RECENT)
        self._mapped = Mapped(index)
        self._decoder, self._pixels = Decoder(settings.decoding), settings.pixels
        self._thumbnails = Thumbnails(settings.thumbnails, self._decoder)
        self._decoders = Threads("decode", settings.decoders)
        self._shrinkers = Threads("thumbnail", settings.decoders)
        self._searches = Threads("search", 8)
        self._lists = Threads("list", 2)
        self._readers = Threads("values", 2)

    def start(self) -> None:
        self.batches.start()

    def stop(self) -> None:
        """Begin nothing more."""
        for threads in (self._decoders, self._shrinkers, self._searches, self._lists, self._readers):
            threads.stop()
        self.batches.stop()
        if self._staged is not None:
            self._staged.close()

    async def embed(self, pictures: Sequence[Uploaded]) -> Tensor:
        """Whole retrieval vectors (n, D of the model); raises `ImageError` if one of them cannot be read."""
        images = [await self._decoders.run(self._prepare, picture) for picture in pictures]
        futures = [asyncio.wrap_future(self.batches.submit(image)) for image in images]
        return torch.stack(await asyncio.gather(*futures)) if futures else torch.empty(0, self.encoder.dimensions)

    async def stored(self, ids: Sequence[str]) -> list[Record]:
        records = await self._asked(self.index.get, list(ids))
        for name, record in zip(ids, records, strict=True):
            if record is None:
                raise Refusal(404, f"no picture with the id {name[:200]!r}", "take an id from /api/pictures")
        return [record for record in records if record is not None]

    async def query(
        self, like: Tensor, unlike: Tensor, like_ids: Sequence[str], unlike_ids: Sequence[str], unlike_weight: float
    ) -> Vectors:
        """One vector (D of the index) from whole vectors of the model and from stored ones."""
        wanted: list[Vectors] = [*self._fitted(like), *(record.vector for record in await self.stored(like_ids))]
        unwanted: list[Vectors] = [*self._fitted(unlike), *(record.vector for record in await self.stored(unlike_ids))]
        if not wanted:
            raise Refusal(422, "there is no example to search from", "give a picture, an id or a vector")
        if len(wanted) == 1 and not unwanted:
            return wanted[0]
        query = np.stack(wanted).mean(0, dtype=np.float64)
        if unwanted:
            query = query - unlike_weight * np.stack(unwanted).mean(0, dtype=np.float64)
        return self._renormalised(query)

    async def search(
        self,
        query: Vectors,
        top: int,
        learners: str | None,
        where: Where,
        without: Set[str],
        *,
        judged: bool,
        rerank: str | None = None,
        exact: bool = False,
    ) -> Answer:
        """The `top` nearest pictures, leaving out those `without`; how sure they are, if it is to be `judged`.

        They are ranked again as ``rerank`` says, or as is usual here. ``exact`` looks at all pictures.
        """
        again = self._again(rerank, learners)
        asked = self._chosen(query, learners)[None]
        self.index.checked_query(asked, 1, None)  # an error of the query, and not of the engine: 422
        searcher = Exactly(self.index) if exact else self._whole if learners is None else self.index
        calibration = await self._asked(self._calibration) if judged else None
        search = partial(ConfidentSearch(searcher, calibration, again).search, asked, top, without=without)
        version = await self._asked(self.index.version)
        [answer] = await self._asked(search, self._checked(where))
        self._recent.note(version, ((hit.id, hit.metadata) for hit in answer.hits))
        return answer

    async def page(self, offset: int, limit: int, where: Where) -> tuple[list[Entry], int]:
        """A page of ids and metadata, and how many pictures the filter lets through."""
        version = await self._asked(self.index.version)
        page = partial(self._listing.page, offset, limit, self._checked(where))
        found = await self._asked(partial(page, read=False)) or await self._asked(page, threads=self._lists)
        assert found is not None
        self._recent.note(version, found[0])
        return found

    async def values(self, field: str, part: str, limit: int) -> Matches:
        """Values of a field that hold what somebody has typed."""
        self._check_fields([field])
        return await self._asked(self._matching, field, part, limit, threads=self._readers)

    async def map(self) -> MapNow:
        """The map of the index, beside what the index holds now."""
        now = await self._asked(self._mapped, threads=self._readers)
        if now is None:
            raise Refusal(404, "this index has no map", "draw one: bier index map INDEX")
        return now

    async def map_values(self, field: str) -> tuple[MapNow, list[Value]]:
        """The map, and a field's value for each of its points."""
        self._check_fields([field])
        now = await self.map()
        return now, values(now, field)

    async def calibrated(self) -> bool:
        """Whether answers are judged."""
        return await self._asked(self._calibration) is not None

    async def count(self) -> int:
        return await self._asked(self.index.count)

    async def thumbnail(self, name: str, side: int, *, whole: bool = False) -> bytes:
        """A JPEG; of an object, of its part of the picture, or of the ``whole`` picture."""
        known = self._recent.of(await self._asked(self.index.version), name)
        metadata = (await self.stored([name]))[0].metadata if known is None else known
        image = str(metadata.get("image") or "")
        box = None if whole else box_of(metadata, self.index.info.kinds)
        kept = self._thumbnails.kept(image, side, box)
        self._metrics.thumbnails.labels("memory" if kept is not None else "picture").inc()
        if kept is not None:
            return kept
        try:
            return await self._shrinkers.run(self._thumbnails.make, image, side, box)
        except ImageError as error:
            raise Refusal(
                404, f"the picture behind {name[:200]!r}: {error.what}", "put it back, or index again"
            ) from error

    async def without_metadata(self, picture: Uploaded) -> bytes:
        """A JPEG of the whole picture, upright, of its pixels alone; raises `ImageError` if it cannot be read."""
        made = partial(jpeg, side=SIDES["full"], quality=KEPT_QUALITY)
        return await self._shrinkers.run(self._decoder.read, picture.content, made, picture.name, self._pixels)

    def _prepare(self, picture: Uploaded) -> Tensor:
        view = self.encoder.transform
        return self._decoder.read(picture.content, view, picture.name, self._pixels, picture.box, view=view)

    def _matching(self, field: str, part: str, limit: int) -> Matches:
        return self._values.of(field).matching(part, limit)

    def _fitted(self, vectors: Tensor) -> Vectors:
        if not len(vectors):
            return np.empty((0, self.index.info.dimensions), np.float32)
        if vectors.shape[1] != self.encoder.dimensions:
            raise Refusal(
                422, f"a vector of this model has {self.encoder.dimensions} numbers", "take it from /api/embed"
            )
        return query_vectors(self.index.info, self.encoder, vectors)

    def _renormalised(self, query: NDArray[np.float64]) -> Vectors:
        """Each learner's part gets the length ``s_m`` again, so that every learner keeps its say."""
        ends = np.cumsum(self.index.info.sizes)[:-1]
        parts = np.split(query, ends)
        lengths = [float(np.linalg.norm(part)) for part in parts]
        if max(lengths) < EPSILON:
            raise Refusal(422, "the examples cancel each other out", "take away one of them")
        scaled = [
            s * part / max(length, EPSILON)
            for s, part, length in zip(self.index.info.scales, parts, lengths, strict=True)
        ]
        return np.concatenate(scaled).astype(np.float32)

    def _chosen(self, query: Vectors, learners: str | None) -> Vectors:
        if learners is None:
            return query
        chosen = parse_learners(learners, len(self.index.info.sizes))
        asked: Vectors = choose_learners(self.index.info, torch.tensor(query)[None], chosen)[0].numpy()
        return asked

    def _again(self, rerank: str | None, learners: str | None) -> RankAgain | None:
        """What a request asks for, or what is usual here; that gives way to chosen learners and to few pictures."""
        if rerank is None:
            return self._usual if learners is None else None
        if rerank == "none":
            return None
        if learners is not None:
            raise Refusal(422, "re-ranking is by all learners", "leave out rerank or learners")
        return RankAgain.asked(rerank)

    def _checked(self, where: Where) -> Where:
        self._check_fields(where)
        self.index.checked_filters(where)  # an error of the filter, and not of the engine
        return where

    def _check_fields(self, named: Iterable[str]) -> None:
        for field in named:
            if field not in self.fields:
                known = ", ".join(self.fields) or "none"
                raise Refusal(422, f"no field {field!r} to filter by", f"this index has: {known}")

    async def _asked(self, ask: Callable[..., T], *arguments: object, threads: Threads | None = None) -> T:
        """What the engine answers, in a thread. What it is asked has been checked, so an error is the engine's own."""
        try:
            return await (threads or self._searches).run(ask, *arguments)
        except SearchError as error:
            raise Refusal(503, f"the search engine fails: {error.what}", error.remedy, {"Retry-After": "5"}) from error


def read_name(name: str | None, position: int) -> str:
    """What messages call an upload: the last part of the name it came with."""
    return Path(name or "").name[:200] or f"picture {position + 1}"
