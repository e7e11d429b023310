"""The distributed engine: the same calls against a Milvus server or cluster.

The folder holds ``index.json``, and ``approximate.json`` once a recall was measured. The server keeps vectors in
segments, each cut into parts around centres (IVF_FLAT). A search of all parts is exact, one of the nearest parts is
approximate. So one index serves both, and other servers need not stop while a recall is measured. What was added since
the last `flush` the server cuts in its own way, and looks at the likeliest parts alone.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from bier.data.fields import LONGEST_VALUE, Kind, Scalar, Value
from bier.errors import SearchError, quoted
from bier.search.approximate import ApproximateIndex
from bier.search.base import LONGEST_ID, RESTORE, IndexInfo, Rows, Vectors, column, portions
from bier.search.filters import SIGN_OF, Filter, Filters
from bier.search.measured import Setting
from bier.search.stages import Show, unseen
from bier.system.extras import need

TOKEN = "BIER_MILVUS_TOKEN"
"""Environment variable with the server's ``user:password`` or token."""

ADDRESS = "BIER_MILVUS_URI"
"""Environment variable with the only server that is given the token: an index may come from anywhere."""

_SECONDS = 30
_AT_ONCE = 1000
_VALUES_AT_ONCE = 10_000
_QUERIES_AT_ONCE = 32
_PARTS = 1024
"""Of each segment, at most: the server makes fewer of a small one."""
_INDEXED = 1024
"""Pictures from which the server makes an index of a segment; smaller ones are searched exactly."""
_POLL = 0.5
_PATIENCE = 600
"""Seconds without progress after which the server is not waited for any longer."""
_WORDS = {"in", "and", "or", "not", "like", "true", "false", "exists", "is", "null"}
_WORDS |= {f"{kind}_contains{which}" for kind in ("json", "array") for which in ("", "_all", "_any")} | {"array_length"}
"""Words of the server's language for filters, which knows no quotes for names."""

_NOTHING = "\0"  # None: not every version of the server can store it; no text contains it
_TYPED = "X"  # the column of all values that are no texts, in JSON, which can lack some; no field has this name


class MilvusIndex(ApproximateIndex):
    """Search by a server; a change is durable once the server has it in its log."""

    most = 16_384
    ladder = tuple({"parts": count} for count in (4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512))

    @classmethod
    def create(cls, folder: Path, info: IndexInfo) -> IndexInfo:
        if info.uri is None:
            raise SearchError("the engine milvus needs a server", where="--uri", remedy="--uri http://HOST:19530")
        if info.storage != "float32":
            remedy = "leave it out, or choose the engine lancedb"
            raise SearchError(f"the engine milvus stores no {info.storage}", where="--type", remedy=remedy)
        name = info.collection or f"bier_{uuid.uuid4().hex}"
        with _milvus_errors(info.uri):
            client = _connect(info.uri)
            try:
                schema, index = _schema(client, info)
                client.create_collection(
                    name, schema=schema, index_params=index, consistency_level="Strong", num_shards=1, timeout=_SECONDS
                )
            finally:
                client.close()
        return IndexInfo(**{**info.__dict__, "collection": name})

    def __init__(self, folder: Path, info: IndexInfo) -> None:
        super().__init__(folder, info)
        if info.uri is None or info.collection is None:
            raise SearchError("names no server or no collection", where=folder / "index.json", remedy=RESTORE)
        self._uri = info.uri
        with _milvus_errors(self._uri):
            self._client = _connect(self._uri)
            there = self._client.has_collection(info.collection, timeout=_SECONDS)
            if there:  # a server that was started again has not loaded it
                self._client.load_collection(info.collection, timeout=_SECONDS)
                described = self._client.describe_collection(info.collection, timeout=_SECONDS)
                index = self._client.describe_index(info.collection, "vector", timeout=_SECONDS)
        if not there:
            self.close()
            raise SearchError(
                f"the server has no collection {info.collection!r}", where=self._uri, remedy="index the pictures again"
            )
        known = {field["name"] for field in described["fields"]}  # an earlier version took every name as it is
        texts = [field for field in info.fields if field not in info.types]
        self._columns = {field: field if field in known else _column(field) for field in texts}
        self._in_parts = index["index_type"] == "IVF_FLAT"  # an earlier version made exact indexes alone
        self._keys = {field: column(field) for field in info.types}
        self._names = ["id", "vector", *self._columns.values(), *([_TYPED] if info.types else [])]

    def flush(self) -> None:
        self._flush(unseen)

    def _flush(self, show: Show) -> None:
        with self._calling() as (client, options):
            client.flush(**options)
        self._settle(show)

    def close(self) -> None:
        self._client.close()

    def scan(self, batch: int = 4096) -> Iterator[Rows]:
        for page in self._pages(min(batch, _AT_ONCE), self._names):
            yield self.sound(self._rows(page))

    def _values(self, field: str) -> Iterator[list[Value]]:
        name = self._columns.get(field, _TYPED)
        for page in self._pages(_VALUES_AT_ONCE, [name]):
            yield [self._value(entity, field) for entity in page]

    def _pages(self, size: int, names: list[str]) -> Iterator[Sequence[Any]]:
        """These columns of all pictures, so many at a time."""
        with self._calling() as (client, options):
            pages = client.query_iterator(batch_size=size, output_fields=names, **options)
            while page := pages.next():
                yield page
            pages.close()

    def _add(self, rows: Rows) -> None:
        for part in portions(list(rows.records()), _AT_ONCE):
            data = [{"id": row.id, "vector": row.vector.tolist(), **self._stored(row.metadata)} for row in part]
            with self._calling() as (client, options):
                client.upsert(data=data, **options)

    def _delete(self, ids: list[str]) -> int:
        there = self._get(ids).ids
        for part in portions(there, _AT_ONCE):
            with self._calling() as (client, options):
                client.delete(filter=_in("id", part), **options)
        return len(there)

    def _get(self, ids: list[str]) -> Rows:
        found: list[Any] = []
        for part in portions(ids, _AT_ONCE):
            with self._calling() as (client, options):
                found += client.query(filter=_in("id", part), output_fields=self._names, **options)
        return self._rows(found)

    def _count(self, filters: Filters) -> int:
        with self._calling() as (client, options):
            [answer] = client.query(filter=self._condition(filters), output_fields=["count(*)"], **options)
            return int(answer["count(*)"])

    def _nearest(self, queries: Vectors, count: int, filters: Filters) -> list[Rows]:
        return self._found(queries, count, filters, _PARTS)

    def _near(self, queries: Vectors, count: int, filters: Filters, setting: Setting) -> list[Rows]:
        return self._found(queries, count, filters, setting["parts"])

    def _found(self, queries: Vectors, count: int, filters: Filters, parts: int) -> list[Rows]:
        """The nearest in so many parts of each segment."""
        params = {"metric_type": "IP", "params": {"nprobe": parts} if self._in_parts else {}}
        found: list[Rows] = []
        for start in range(0, len(queries), _QUERIES_AT_ONCE):
            with self._calling() as (client, options):
                answers = client.search(
                    data=queries[start : start + _QUERIES_AT_ONCE].tolist(),
                    filter=self._condition(filters),
                    limit=count,
                    output_fields=self._names,
                    search_params=params,
                    **options,
                )
            found += [self._rows([hit["entity"] for hit in answer]) for answer in answers]
        return found

    def _build(self, show: Show) -> None:
        if not self._in_parts:
            raise SearchError(
                f"the collection {self.info.collection!r} can be searched exactly alone: an earlier version made it",
                where=self.folder,
                remedy="leave out the recall, or index the pictures into a new index",
            )
        self._flush(show)

    def _sample(self, count: int) -> Rows:
        ids = sorted(entity["id"] for page in self._pages(_VALUES_AT_ONCE, ["id"]) for entity in page)
        return self._get([ids[row] for row in np.random.default_rng(0).permutation(len(ids))[:count]])

    def _settle(self, show: Show) -> None:
        """Wait until the server has an index of everything that was flushed, and uses it."""
        since, before, most = time.monotonic(), 0, 0
        while self._in_parts and (waiting := self._without_index()):
            most = max(most, waiting)
            show("the server indexes", most - waiting, most)
            if waiting != before:
                since, before = time.monotonic(), waiting
            if time.monotonic() - since > _PATIENCE:
                raise SearchError(
                    f"the server has not indexed {waiting:,} pictures in {_PATIENCE // 60} minutes",
                    where=self._uri,
                    remedy="see that its index nodes run; the pictures are stored, and `bier index tune` goes on",
                )
            time.sleep(_POLL)

    def _without_index(self) -> int:
        """Pictures in flushed segments that are searched without an index, and are too many for that."""
        with self._calling() as (client, options):
            written = client.list_persistent_segments(**options)
            in_use = {part.segment_id for part in client.list_loaded_segments(**options) if part.index_name}
        flushed = [part for part in written if part.state == "Flushed" and part.num_rows >= _INDEXED]
        return sum(part.num_rows for part in flushed if part.segment_id not in in_use)

    def _stored(self, metadata: Mapping[str, Value]) -> dict[str, Any]:
        texts = {
            name: _NOTHING if metadata[field] is None else metadata[field] for field, name in self._columns.items()
        }
        typed = {key: metadata[field] for field, key in self._keys.items() if metadata[field] is not None}
        return texts | {_TYPED: typed} if self._keys else texts

    def _value(self, entity: Mapping[str, Any], field: str) -> Value:
        if field in self._columns:
            text: str = entity[self._columns[field]]
            return None if text == _NOTHING else text
        value: Value = entity[_TYPED].get(self._keys[field])
        return float(value) if isinstance(value, int) and self.info.types[field] == "decimal" else value

    def _condition(self, filters: Filters) -> str:
        return " and ".join(self._expression(one) for one in filters)

    def _expression(self, one: Filter) -> str:
        if one.field in self._columns:
            place = self._columns[one.field]
            parts = [] if one.among is None else [_in(place, map(_text, one.among))]
            return " and ".join(parts + [f"not ({_in(place, map(_text, one.without))})"] * bool(one.without))
        place = "id" if one.field == "id" else f'{_TYPED}["{self._keys[one.field]}"]'
        parts = [] if one.among is None else [_among(place, one.kind, one.among)]
        parts += [f"not {_among(place, one.kind, one.without)}"] * bool(one.without)
        parts += [f"{place} {SIGN_OF[bound]} {_literal(limit)}" for bound, limit in one.bounds]
        return " and ".join(parts)

    def _rows(self, entities: Sequence[Any]) -> Rows:
        vectors = np.array([entity["vector"] for entity in entities], np.float32).reshape(-1, self.info.dimensions)
        metadata = [{field: self._value(entity, field) for field in self.info.fields} for entity in entities]
        return Rows([entity["id"] for entity in entities], vectors, metadata)

    @contextmanager
    def _calling(self) -> Iterator[tuple[Any, dict[str, Any]]]:
        with _milvus_errors(self._uri):
            yield self._client, {"collection_name": self.info.collection, "timeout": _SECONDS}


def _connect(uri: str) -> Any:
    return need("pymilvus", "milvus").MilvusClient(uri=uri, token=token_for(uri), timeout=_SECONDS)


def token_for(uri: str) -> str:
    """What the server is told of who we are; empty if nothing.

    Raises:
        SearchError: there is a token, and it belongs to another server, or to none that is named.
    """
    token, address = os.environ.get(TOKEN, ""), os.environ.get(ADDRESS, "")
    if token and address.rstrip("/") != uri.rstrip("/"):
        raise SearchError(
            f"the token in {TOKEN} is for {address or 'a server that is not named'}, and is not sent to this one",
            where=uri,
            remedy=f"if it is for this server, set {ADDRESS}={quoted(uri)}; else unset {TOKEN}",
        )
    return token


def _schema(client: Any, info: IndexInfo) -> tuple[Any, Any]:
    kinds = need("pymilvus", "milvus").DataType
    schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field("id", kinds.VARCHAR, is_primary=True, max_length=LONGEST_ID)
    schema.add_field("vector", kinds.FLOAT_VECTOR, dim=info.dimensions)
    for field in info.fields:
        if field not in info.types:
            schema.add_field(_column(field), kinds.VARCHAR, max_length=LONGEST_VALUE)
    if info.types:
        schema.add_field(_TYPED, kinds.JSON)
    index = client.prepare_index_params()
    index.add_index("vector", index_type="IVF_FLAT", metric_type="IP", params={"nlist": _PARTS})
    return schema, index


def _column(field: str) -> str:
    return column(field, _WORDS)


def _in(name: str, values: Iterable[str]) -> str:
    return f"{name} in {_literal(list(values))}"


def _text(value: Scalar | None) -> str:
    return _NOTHING if value is None else str(value)


def _among(place: str, kind: Kind, values: Sequence[Scalar | None]) -> str:
    """One of the values in JSON, or a list that holds one."""
    known = [value for value in values if value is not None]
    one_of = f"json_contains_any({place}, {_literal(known)})" if kind == "texts" else _equals(place, known)
    either = [one_of] * bool(known) + [f"not exists {place}"] * (None in values)
    return f"({' or '.join(either) or 'id in []'})"


def _equals(place: str, values: Sequence[Scalar]) -> str:
    return " or ".join(f"{place} == {_literal(value)}" for value in values)


def _literal(value: Scalar | list[str] | list[Scalar]) -> str:
    return json.dumps(value, ensure_ascii=False)


@contextmanager
def _milvus_errors(uri: str) -> Iterator[None]:
    try:
        yield
    except need("pymilvus", "milvus").MilvusException as error:
        raise SearchError(
            f"the Milvus server cannot do it: {str(error.message).splitlines()[0]}",
            where=uri,
            remedy=f"see that it runs and can be reached, and that {TOKEN} is right if it asks for one",
        ) from error


MEMBERS = {"milvus": MilvusIndex}
