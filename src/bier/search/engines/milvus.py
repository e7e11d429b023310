"""The distributed engine: the same calls against a Milvus server or cluster; the folder holds index.json alone."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from bier.errors import SearchError, quoted
from bier.search.base import (
    LONGEST_ID,
    LONGEST_VALUE,
    RESTORE,
    Filters,
    Index,
    IndexInfo,
    Rows,
    Vectors,
    column,
    portions,
)
from bier.system.extras import need

TOKEN = "BIER_MILVUS_TOKEN"
"""Environment variable with the server's ``user:password`` or token."""

ADDRESS = "BIER_MILVUS_URI"
"""Environment variable with the only server that is given the token: an index may come from anywhere."""

_SECONDS = 30
_AT_ONCE = 1000
_VALUES_AT_ONCE = 10_000
_QUERIES_AT_ONCE = 32
_WORDS = {"in", "and", "or", "not", "like", "true", "false", "exists", "is", "null"}
_WORDS |= {f"{kind}_contains{which}" for kind in ("json", "array") for which in ("", "_all", "_any")} | {"array_length"}
"""Words of the server's language for filters, which knows no quotes for names."""

_NOTHING = "\0"  # None: not every version of the server can store it; no text contains it


class MilvusIndex(Index):
    """Exact search by a server; a change is durable once the server has it in its log."""

    most = 16_384

    @classmethod
    def create(cls, folder: Path, info: IndexInfo) -> IndexInfo:
        if info.uri is None:
            raise SearchError("the engine milvus needs a server", where="--uri", remedy="--uri http://HOST:19530")
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
        if not there:
            self.close()
            raise SearchError(
                f"the server has no collection {info.collection!r}", where=self._uri, remedy="index the pictures again"
            )
        known = {field["name"] for field in described["fields"]}  # an earlier version took every name as it is
        self._columns = {field: field if field in known else _column(field) for field in info.fields}
        self._names = ["id", "vector", *self._columns.values()]

    def flush(self) -> None:
        with self._calling() as (client, options):
            client.flush(**options)

    def close(self) -> None:
        self._client.close()

    def scan(self, batch: int = 4096) -> Iterator[Rows]:
        with self._calling() as (client, options):
            pages = client.query_iterator(batch_size=min(batch, _AT_ONCE), output_fields=self._names, **options)
            while page := pages.next():
                yield self.sound(self._rows(page))
            pages.close()

    def _values(self, field: str) -> Iterator[list[str | None]]:
        name = self._columns[field]
        with self._calling() as (client, options):
            pages = client.query_iterator(batch_size=_VALUES_AT_ONCE, output_fields=[name], **options)
            while page := pages.next():
                yield [None if entity[name] == _NOTHING else entity[name] for entity in page]
            pages.close()

    def _add(self, rows: Rows) -> None:
        for part in portions(list(rows.records()), _AT_ONCE):
            data = [
                {"id": row.id, "vector": row.vector.tolist()}
                | {self._columns[field]: _NOTHING if value is None else value for field, value in row.metadata.items()}
                for row in part
            ]
            with self._calling() as (client, options):
                client.upsert(data=data, **options)

    def _delete(self, ids: list[str]) -> int:
        there = self._get(ids).ids
        for part in portions(there, _AT_ONCE):
            with self._calling() as (client, options):
                client.delete(filter=_among("id", part), **options)
        return len(there)

    def _get(self, ids: list[str]) -> Rows:
        found: list[Any] = []
        for part in portions(ids, _AT_ONCE):
            with self._calling() as (client, options):
                found += client.query(filter=_among("id", part), output_fields=self._names, **options)
        return self._rows(found)

    def _count(self, filters: Filters) -> int:
        with self._calling() as (client, options):
            [answer] = client.query(filter=self._condition(filters), output_fields=["count(*)"], **options)
            return int(answer["count(*)"])

    def _nearest(self, queries: Vectors, count: int, filters: Filters) -> list[Rows]:
        found: list[Rows] = []
        for start in range(0, len(queries), _QUERIES_AT_ONCE):
            with self._calling() as (client, options):
                answers = client.search(
                    data=queries[start : start + _QUERIES_AT_ONCE].tolist(),
                    filter=self._condition(filters),
                    limit=count,
                    output_fields=self._names,
                    search_params={"metric_type": "IP"},
                    **options,
                )
            found += [self._rows([hit["entity"] for hit in answer]) for answer in answers]
        return found

    def _condition(self, filters: Filters) -> str:
        return " and ".join(
            _among(self._columns[field], [_NOTHING if value is None else value for value in values])
            for field, values in filters.items()
        )

    def _rows(self, entities: Sequence[Any]) -> Rows:
        vectors = np.array([entity["vector"] for entity in entities], np.float32).reshape(-1, self.info.dimensions)
        metadata = [
            {field: None if entity[name] == _NOTHING else entity[name] for field, name in self._columns.items()}
            for entity in entities
        ]
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
        schema.add_field(_column(field), kinds.VARCHAR, max_length=LONGEST_VALUE)
    index = client.prepare_index_params()
    index.add_index("vector", index_type="FLAT", metric_type="IP")
    return schema, index


def _column(field: str) -> str:
    return column(field, _WORDS)


def _among(name: str, values: Sequence[str]) -> str:
    return f"{name} in {json.dumps(list(values), ensure_ascii=False)}"


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
