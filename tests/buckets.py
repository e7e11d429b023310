"""A server of S3 over HTTP, and a way to it on which single answers fail, come late or end too early."""

from __future__ import annotations

import http.client
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread
from typing import Any

import pytest

from bier.system import places

SLOW = 2.0
"""Seconds of an answer that comes late."""
_BUSY = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"


class Way:
    """Passes requests on to the server. `troubles` happen to the next answers that carry an object."""

    def __init__(self, port: int) -> None:
        self.troubles: list[str] = []
        self.asked: list[str] = []
        """Every request: its method and path."""
        self.fetched: list[str] = []
        """The paths of those for an object."""
        self._lock = Lock()
        way = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                server = http.client.HTTPConnection("127.0.0.1", port)
                server.request(self.command, self.path, self.rfile.read(length), dict(self.headers))
                answer = server.getresponse()
                body = answer.read()
                way.asked.append(f"{self.command} {self.path}")
                trouble = way.next(self.path) if self.command == "GET" and "?" not in self.path else ""
                if trouble == "slow":
                    time.sleep(SLOW)
                if trouble == "503":
                    return self.refuse()
                self.send_response(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in ("transfer-encoding", "connection", "date", "server"):
                        self.send_header(name, value)
                if self.command != "HEAD" and answer.getheader("Content-Length") is None:
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body[: len(body) // 2] if trouble == "cut" else body)
                self.close_connection = trouble == "cut"

            def refuse(self) -> None:
                self.send_response(503)
                self.send_header("Content-Type", "application/xml")
                self.send_header("Content-Length", str(len(_BUSY)))
                self.end_headers()
                self.wfile.write(_BUSY)

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = handle_any  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def next(self, path: str) -> str:
        with self._lock:
            self.fetched.append(path)
            return self.troubles.pop(0) if self.troubles else ""


class Bucket:
    """The bucket ``shop`` of a server that runs."""

    def __init__(self, client: Any, way: Way) -> None:
        self.client, self.way = client, way

    def put(self, folder: Path, name: str) -> str:
        """All files below a folder; gives their URL."""
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                self.client.put_object(Bucket="shop", Key=f"{name}/{file.relative_to(folder)}", Body=file.read_bytes())
        return f"s3://shop/{name}"

    def keys(self, name: str) -> list[str]:
        found = self.client.list_objects_v2(Bucket="shop", Prefix=f"{name}/").get("Contents", [])
        return [entry["Key"].removeprefix(f"{name}/") for entry in found]


@contextmanager
def running(monkeypatch: pytest.MonkeyPatch, cache: Path) -> Iterator[Bucket]:
    """A server, a bucket in it, and an environment that leads there."""
    boto3 = pytest.importorskip("boto3", reason="boto3 is not installed")
    moto = pytest.importorskip("moto.server", reason="moto is not installed")
    monkeypatch.setattr(logging.getLogger("werkzeug"), "disabled", True)
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    clear(port)
    way = Way(port)
    thread = Thread(target=way.server.serve_forever)
    thread.start()
    for name, value in {
        "AWS_ACCESS_KEY_ID": "someone",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{way.server.server_port}",
        "BIER_CACHE": str(cache),
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(places, "PAUSES", (0.01, 0.02, 0.03))
    forget()
    client = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{port}")
    client.create_bucket(Bucket="shop")
    try:
        yield Bucket(client, way)
    finally:
        forget()
        way.server.shutdown()
        way.server.server_close()
        thread.join()
        server.stop()
        client.close()


def clear(port: int) -> None:
    """Remove what earlier servers of this process have left in their common memory."""
    server = http.client.HTTPConnection("127.0.0.1", port)
    server.request("POST", "/moto-api/reset")
    assert server.getresponse().status == 200
    server.close()


def forget() -> None:
    """Credentials and addresses of before."""
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
