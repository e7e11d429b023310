"""A table of LanceDB in a bucket, by URL: what the bucket has taken is safe, so nothing is synced or checked here."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from bier.errors import PlaceError, SearchError
from bier.system.places import is_url, path_of, spelled

BUCKETS = ("s3://", "gs://", "az://")
_SECONDS = "30s"
_TRIES = "3"


class TableInBucket:
    """Where a table lies.

    Args:
        uri: the URL of a folder in a bucket.
        connected: gives the table at its newest version.
    """

    def __init__(self, uri: str, connected: Callable[[], Any]) -> None:
        self._uri = uri
        self._connected = connected

    def open(self) -> Any:
        """The table.

        Raises:
            PlaceError: there is no such bucket, nobody says who we are, or it cannot be reached.
            SearchError: there is no table in it.
        """
        if not path_of(self._uri).exists():
            check_bucket(self._uri)
            raise SearchError("there is no index in the bucket", where=self._uri, remedy="index the pictures again")
        return self._connected()

    def check(self) -> int:
        """The bucket looks after its files."""
        return 0

    def settle(self, version: int) -> None:
        """The bucket has it already."""


def check_uri(uri: str) -> str:
    """The URL of a folder in a bucket, in its usual spelling.

    Raises:
        SearchError: it is none.
    """
    if not uri.startswith(BUCKETS) or not is_url(uri) or not spelled(uri).rstrip("/").partition("://")[2].count("/"):
        raise SearchError(
            f"the engine lancedb keeps its table in a folder of a bucket, and {uri!r} is none",
            where="--uri",
            remedy="--uri s3://BUCKET/NAME; for a server of Milvus add --engine milvus",
        )
    return spelled(uri).rstrip("/")


def check_bucket(uri: str) -> None:
    """Raises `PlaceError` if there is no such bucket, or it cannot be asked."""
    bucket = "/".join(uri.split("/")[:3])
    if not path_of(bucket).exists():
        raise PlaceError("there is no such bucket", where=bucket, remedy="make it, or mend --uri")


def options(uri: str) -> dict[str, str]:
    """What LanceDB is told of a bucket, beside what it takes from the environment."""
    told = {"timeout": _SECONDS, "connect_timeout": _SECONDS, "client_max_retries": _TRIES}
    return told | (_of_s3() if uri.startswith("s3://") else {})


def _of_s3() -> dict[str, str]:
    """The server, and who we are, where a file of the AWS tools says so: LanceDB reads none of these."""
    import botocore.session

    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    told = {"endpoint": endpoint, "allow_http": str(endpoint.startswith("http://")).lower()} if endpoint else {}
    session = botocore.session.get_session()
    region = session.get_config_variable("region")
    known = session.get_credentials()
    if known is not None and known.method in ("shared-credentials-file", "config-file"):
        keys = known.get_frozen_credentials()
        told |= {"aws_access_key_id": keys.access_key, "aws_secret_access_key": keys.secret_key}
        told |= {"aws_session_token": keys.token} if keys.token else {}
    return told | ({"region": region} if region else {})
