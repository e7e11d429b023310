"""Clients that are slow, many, or never listen: raw sockets against a real server."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

Serve = Callable[..., httpx.Client]
Connect = Callable[[httpx.Client, bytes], socket.socket]
HALF = b"GET /health HTTP/1.1\r\nHost: localh"
GET = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
BOUNDARY = "multipart/form-data; boundary=x"
PART = b'--x\r\nContent-Disposition: form-data; name="picture"; filename="a.jpg"\r\n\r\n'


def upload(length: int) -> bytes:
    """The head of an upload of so many bytes, and the beginning of its body."""
    head = (
        f"POST /api/embed HTTP/1.1\r\nHost: localhost\r\nContent-Type: {BOUNDARY}\r\nContent-Length: {length}\r\n\r\n"
    )
    return head.encode() + PART


@pytest.fixture
def connect() -> Iterator[Connect]:
    with ExitStack() as stack:

        def start(client: httpx.Client, content: bytes = b"") -> socket.socket:
            connection = socket.create_connection(("127.0.0.1", client.base_url.port), 20)
            stack.callback(connection.close)
            connection.sendall(content)
            return connection

        yield start


def rest(connection: socket.socket) -> bytes:
    """All that the server sends until it ends the connection."""
    answer = b""
    try:
        while piece := connection.recv(65536):
            answer += piece
    except ConnectionResetError:
        pass
    return answer


def test_half_a_header_is_waited_for_no_longer_than_the_limit(serve: Serve, connect: Connect) -> None:
    client = serve(patience=1)
    started = time.monotonic()
    connections = [connect(client, content) for content in (b"", HALF, GET, GET + HALF)]
    sent = 0
    while sent < 30 and time.monotonic() - started < 8:  # a byte at a time keeps nothing alive
        try:
            connections[1].send(b"a")
        except OSError:
            break
        sent += 1
        time.sleep(0.1)
    answers = [rest(connection) for connection in connections]
    assert [answer.count(b"HTTP/1.1 200") for answer in answers] == [0, 0, 1, 1]
    assert time.monotonic() - started < 8
    assert client.get("/health").status_code == 200


def test_a_thousand_half_headers_make_room_for_others(serve: Serve, connect: Connect) -> None:
    client = serve(connections=50, connections_from_one=40)
    for _ in range(1000):
        connect(client, HALF)
    started = time.monotonic()
    assert [client.get("/health").status_code for _ in range(5)] == [200] * 5
    assert time.monotonic() - started < 3


def test_an_upload_that_comes_slowly_takes_no_place(serve: Serve, connect: Connect, cars: list[Path]) -> None:
    client = serve(queue=2, patience=3)
    slow = [connect(client, upload(100_000)) for _ in range(8)]
    ended = threading.Event()

    def trickle() -> None:
        while not ended.wait(0.3):
            for connection in slow:
                connection.send(b"x")

    with ThreadPoolExecutor(1) as threads:
        trickling = threads.submit(trickle)
        started = time.monotonic()
        while time.monotonic() - started < 2:
            assert client.post("/api/embed", files={"picture": cars[0].read_bytes()}).status_code == 200
        ended.set()
        trickling.result(10)
    answers = [rest(connection) for connection in slow]
    assert all(answer.startswith(b"HTTP/1.1 408") and b"connection: close" in answer.lower() for answer in answers)
    assert time.monotonic() - started < 10


def test_an_upload_in_small_pieces_is_answered(serve: Serve, connect: Connect, cars: list[Path]) -> None:
    client, content = serve(), PART + cars[0].read_bytes() + b"\r\n--x--\r\n"
    connection = connect(client, upload(len(content))[: -len(PART)])
    for start in range(0, len(content), 5000):
        connection.sendall(content[start : start + 5000])
        time.sleep(0.01)
    assert connection.recv(65536).startswith(b"HTTP/1.1 200")


def test_connections_of_one_address_are_limited(serve: Serve, connect: Connect) -> None:
    client = serve(connections_from_one=4, patience=3)
    working = [connect(client, upload(100_000)) for _ in range(4)]
    time.sleep(0.3)
    refused = rest(connect(client, GET))
    head, body = refused.split(b"\r\n\r\n", 1)
    assert head.startswith(b"HTTP/1.1 429")
    assert b"retry-after: 1" in head.lower()
    assert "your address" in json.loads(body)["error"]
    others = [connect(client, HALF) for _ in range(10)]
    started = time.monotonic()
    assert not any(map(rest, others))
    assert time.monotonic() - started < 8
    assert all(rest(connection).startswith(b"HTTP/1.1 408") for connection in working)
    assert client.get("/health").status_code == 200


def test_too_many_connections_are_told_when_to_come_back(serve: Serve, connect: Connect) -> None:
    client = serve(connections=3, patience=3)
    for _ in range(3):
        connect(client, upload(100_000))
    time.sleep(0.3)
    refused = rest(connect(client, GET))
    assert refused.startswith(b"HTTP/1.1 503")
    assert b"retry-after: 1" in refused.lower()


@pytest.mark.slow
def test_an_answer_that_nobody_takes_ends_the_connection(serve: Serve) -> None:
    client = serve(patience=1)
    asked = 1000  # more than the system keeps for a connection
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(20)
        connection.connect(("127.0.0.1", client.base_url.port))
        connection.sendall(b"GET /page.css HTTP/1.1\r\nHost: localhost\r\n\r\n" * asked)
        time.sleep(6)
        assert rest(connection).count(b"HTTP/1.1 200") < asked


def test_an_answer_that_is_taken_slowly_comes_whole(serve: Serve) -> None:
    client = serve(patience=1)
    expected = len(client.get("/page.js").content)
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(20)
        connection.connect(("127.0.0.1", client.base_url.port))
        connection.sendall(b"GET /page.js HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        time.sleep(0.8)
        answer = b""
        while piece := connection.recv(4096):
            answer += piece
            time.sleep(0.02)
    assert len(answer.split(b"\r\n\r\n", 1)[1]) == expected


def test_uploads_that_come_share_a_limit_of_memory(serve: Serve, connect: Connect, cars: list[Path]) -> None:
    client = serve(body=300_000, bodies=500_000, patience=5)
    slow = [connect(client, upload(290_000) + bytes(240_000)) for _ in range(2)]
    time.sleep(0.5)
    refused = client.post("/api/embed", files={"picture": bytes(100_000)})
    assert refused.status_code == 429
    assert refused.headers["Retry-After"] == "1"
    assert client.post("/api/search", json={"ids": ["none"]}).status_code == 404, "searches have a place of their own"
    for connection in slow:
        connection.close()
    time.sleep(0.5)
    assert client.post("/api/embed", files={"picture": cars[0].read_bytes()}).status_code == 200


@pytest.mark.parametrize("part", ['"a"', "[]", "1", '{"a":1}'])
def test_faulty_json_holds_nobody_up(serve: Serve, part: str) -> None:
    client = serve()
    body = '{"vectors": [[' + ",".join([part] * (980_000 // (len(part) + 1))) + "]]}"
    ended = threading.Event()
    waits: list[float] = []

    def watch() -> None:
        while not ended.is_set():
            started = time.monotonic()
            assert client.get("/health").status_code == 200
            waits.append(time.monotonic() - started)

    def ask(turn: int) -> int:
        return client.post("/api/search", content=body, headers={"Content-Type": "application/json"}).status_code

    with ThreadPoolExecutor(13) as threads:
        watching = threads.submit(watch)
        assert set(threads.map(ask, range(12))) == {422}
        ended.set()
        watching.result(10)
    assert max(waits) < 2.5


def test_a_body_with_a_length_and_chunks_is_refused(serve: Serve, connect: Connect) -> None:
    head = b"POST /api/search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    both = head + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
    answer = rest(connect(serve(), both + GET))
    assert answer.startswith(b"HTTP/1.1 400")
    assert answer.count(b"HTTP/1.1") == 1, "what follows may be a part of it"
    assert b"Transfer-Encoding" in answer
