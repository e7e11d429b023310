"""`bier serve` as a process, with more asked of it than it can do, by clients that are slow, many, large or gone."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest
from faults.conftest import Made
from faults.pictures import bombs
from faults.warm import Child, Warm, failing, memory
from PIL import Image

SLOW = pytest.mark.slow
pytestmark = pytest.mark.timeout(900)
Tried = Callable[[str], None]
PROMPT = 4.0
"""Seconds within which a busy server still answers a small question."""


class Served:
    """A server and its address."""

    def __init__(self, child: Child, port: int) -> None:
        self.child, self.port = child, port
        self.address = f"http://127.0.0.1:{port}"
        self.before = memory("VmRSS", child.pid)

    def client(self, **options: object) -> httpx.Client:
        return httpx.Client(base_url=self.address, timeout=60, trust_env=False, **options)  # type: ignore[arg-type]

    def connection(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)

    def grown(self) -> int:
        """Bytes at the peak, beyond those at the start."""
        return memory("VmHWM", self.child.pid) - self.before

    def slowest_health(self, seconds: float) -> float:
        """Of the answers in this time."""
        slowest, deadline = 0.0, time.monotonic() + seconds
        with self.client() as client:
            while time.monotonic() < deadline:
                began = time.monotonic()
                assert client.get("/health").status_code == 200
                slowest = max(slowest, time.monotonic() - began)
                time.sleep(0.02)
        return slowest


@contextmanager
def serving(warm: Warm, index: Path, *options: object, env: Mapping[str, object] | None = None) -> Iterator[Served]:
    """It must end with 0 when it is asked to, whatever was done to it."""
    child = warm.start_command("serve", index, "--port", 0, *options, env=env)
    deadline = time.monotonic() + 120
    while not (found := re.search(r"http://127\.0\.0\.1:(\d+)", child.out())) and time.monotonic() < deadline:
        time.sleep(0.02)
    try:
        assert found, child.out()
        yield Served(child, int(found[1]))
    finally:
        child.kill(signal.SIGTERM)
        late = threading.Timer(90, child.kill)
        late.start()
        ended = child.wait()
        late.cancel()
    assert (ended.code, "Traceback" in ended.err) == (0, False), ended


def upload(client: httpx.Client, content: bytes) -> tuple[int, bool]:
    """The status, and whether it says when to come back."""
    try:
        answer = client.post("/api/embed", files={"picture": content})
    except httpx.TransportError as error:
        return -1, isinstance(error, httpx.ConnectError)
    return answer.status_code, "retry-after" in answer.headers


def asked_at_once(served: Served, content: bytes, clients: int, each: int) -> Counter[int]:
    """Statuses of so many clients' uploads."""

    def ask(_: int) -> list[tuple[int, bool]]:
        with served.client() as client:
            return [upload(client, content) for _ in range(each)]

    with ThreadPoolExecutor(clients) as threads:
        answers = [answer for found in threads.map(ask, range(clients)) for answer in found]
    assert all(comes_back for status, comes_back in answers if status in (429, 503)), "no Retry-After"
    return Counter(status for status, _ in answers)


@pytest.mark.parametrize(("clients", "each"), [(10, 2), pytest.param(40, 10, marks=SLOW)])
def test_five_times_the_work_is_answered_or_told_to_wait(
    warm: Warm, made: Made, tried: Tried, clients: int, each: int
) -> None:
    with serving(warm, made.exact, "--queue", clients // 5) as served:
        statuses = asked_at_once(served, made.picture.read_bytes(), clients, each)
        began = time.monotonic()
        with served.client() as client:
            after = upload(client, made.picture.read_bytes())[0], time.monotonic() - began
        tried(
            f"overload: {clients} clients for a queue of {clients // 5}, answers {dict(statuses)}, afterwards one "
            f"in {after[1]:.2f} s, {served.grown() / 1e6:.0f} MB more at the peak"
        )
    assert set(statuses) <= {200, 429} and statuses[200] >= clients // 5
    assert after[0] == 200 and after[1] < PROMPT


HEAD = b"POST /api/embed HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data; boundary=x\r\n"


def closed_after(connection: socket.socket, longest: float) -> float:
    """Seconds until the server has given up a connection that sends nothing more."""
    connection.settimeout(longest)
    began = time.monotonic()
    with contextlib.suppress(ConnectionError):
        while connection.recv(1000):
            pass
    return time.monotonic() - began


@SLOW
@pytest.mark.parametrize("count", [150])
def test_half_a_header_does_not_hold_a_connection(warm: Warm, made: Made, tried: Tried, count: int) -> None:
    with serving(warm, made.exact) as served, ExitStack() as stack:
        slow = [stack.enter_context(served.connection()) for _ in range(count)]
        for connection in slow:
            connection.sendall(HEAD)
        health = served.slowest_health(3)
        try:
            seconds = max(closed_after(connection, 45) for connection in slow)
        except TimeoutError:
            seconds = float("inf")
        tried(f"{count} half headers: closed within {seconds:.0f} s, /health in {health:.2f} s meanwhile")
    assert health < PROMPT
    assert seconds < 45


@SLOW
def test_more_connections_than_a_server_takes_do_not_shut_others_out(warm: Warm, made: Made, tried: Tried) -> None:
    with serving(warm, made.exact) as served, ExitStack() as stack:
        opened = 0
        for _ in range(1100):
            try:
                connection = stack.enter_context(served.connection())
                connection.sendall(HEAD)
                opened += 1
            except OSError:
                break
        time.sleep(1)
        # From another address, as a stranger would come, since those of this one are limited.
        with stack.enter_context(socket.socket()) as other:
            other.bind(("127.0.0.2", 0))
            other.settimeout(30)
            other.connect(("127.0.0.1", served.port))
            other.sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            answer = other.recv(1000)
        tried(f"{opened} connections with half a header from one address: another got {answer[:12].decode()!r}")
    assert b"200" in answer[:15]


@SLOW
def test_a_body_of_a_byte_a_second_takes_no_place(warm: Warm, made: Made, tried: Tried) -> None:
    picture = made.picture.read_bytes()
    with serving(warm, made.exact, "--queue", 8) as served, ExitStack() as stack:
        slow = [stack.enter_context(served.connection()) for _ in range(8)]
        for connection in slow:
            connection.sendall(HEAD + b"Content-Length: 100000\r\n\r\n--x\r\n")
        statuses: Counter[int] = Counter()
        began, last = time.monotonic(), time.monotonic()
        with served.client() as client:
            while last - began < 5:
                for connection in slow:
                    with contextlib.suppress(OSError):
                        connection.sendall(b"a")
                statuses[upload(client, picture)[0]] += 1
                last = time.monotonic()
                time.sleep(0.2)
        tried(f"8 uploads of a byte now and then, queue of 8: others got {dict(statuses)}")
    assert set(statuses) == {200}


@SLOW
def test_large_json_holds_nobody_up(warm: Warm, made: Made, tried: Tried) -> None:
    bodies = [json.dumps({"vectors": [[0.1234567] * 3000] * rows}).encode() for rows in (28, 60)]
    with serving(warm, made.exact) as served, ThreadPoolExecutor(20) as threads:

        def ask(_: int) -> list[int]:
            with served.client(headers={"Content-Type": "application/json"}) as client:
                return [client.post("/api/search", content=body).status_code for body in bodies * 2]

        asking = [threads.submit(ask, number) for number in range(20)]
        health = served.slowest_health(4)
        statuses = Counter(status for future in asking for status in future.result())
        tried(
            f"20 clients with 1 and 2 MB of JSON: answers {dict(statuses)}, /health in {health:.2f} s, "
            f"{served.grown() / 1e6:.0f} MB more at the peak"
        )
    assert health < PROMPT


@SLOW
def test_bombs_and_honest_giants_at_once_stay_within_memory(
    warm: Warm, made: Made, tmp_path: Path, tried: Tried
) -> None:
    contents = list(bombs(made.picture).values())
    Image.new("RGB", (4_900, 4_900), "red").save(tmp_path / "giant.png")  # just within the limit of a server
    contents += [(tmp_path / "giant.png").read_bytes()] * 4
    with serving(warm, made.exact) as served, ThreadPoolExecutor(8) as threads, served.client() as client:
        statuses = Counter(threads.map(lambda content: upload(client, content)[0], contents * 2))
        health = served.slowest_health(1)
        tried(
            f"bombs: {2 * len(contents)} uploads of 8 clients, answers {dict(statuses)}, "
            f"{served.grown() / 1e6:,.0f} MB more at the peak, /health in {health:.2f} s afterwards"
        )
        assert served.grown() < 1.5e9
    assert set(statuses) <= {200, 413, 422, 429, 504}


@pytest.mark.parametrize("clients", [4, pytest.param(30, marks=SLOW)])
def test_a_stop_under_load_finishes_what_it_took(
    warm: Warm, made: Made, tmp_path: Path, tried: Tried, clients: int
) -> None:
    Image.effect_noise((1500, 1500), 80).save(tmp_path / "large.png")  # takes a while to decode
    content, statuses = (tmp_path / "large.png").read_bytes(), Counter[int]()
    with serving(warm, made.exact, "--timeout", 10) as served:
        stopped = threading.Event()

        def ask() -> None:
            with served.client() as client:
                while not stopped.is_set():
                    status, refused = upload(client, content)
                    statuses[0 if refused and status < 0 else status] += 1
                    if status < 0:
                        return

        asking = [threading.Thread(target=ask) for _ in range(clients)]
        for thread in asking:
            thread.start()
        time.sleep(3)
        began = time.monotonic()
        served.child.kill(signal.SIGTERM)
        while Path(f"/proc/{served.child.pid}").exists() and time.monotonic() < began + 60:
            time.sleep(0.02)
        seconds = time.monotonic() - began
        stopped.set()
        for thread in asking:
            thread.join()
    tried(f"stop under {clients} clients: {seconds:.1f} s; 0 is a connection that was refused: {dict(statuses)}")
    assert seconds < 10 + 5
    assert set(statuses) <= {200, 429, 503, 504, 0, -1}
    assert statuses[-1] <= clients, "each client may lose the connection that was idle when the server stopped"


@SLOW
def test_marks_on_a_full_disk_are_refused_and_none_is_lost(
    warm: Warm, made: Made, tmp_path: Path, tried: Tried
) -> None:
    index, statuses = Path(shutil.copytree(made.exact, tmp_path / "index")), Counter[int]()
    with serving(warm, index, env=failing(index, 12, "full")) as served, served.client() as client:
        [first, *others] = [entry["id"] for entry in client.get("/api/pictures").json()["pictures"]][:12]
        for name in others:
            mark = {"query": first, "result": name, "verdict": "good"}
            statuses[client.post("/api/marks", json={"marks": [mark]}).status_code] += 1
    assert set(statuses) == {200, 507}
    assert (index / "marks.jsonl").read_text().count('"good"') == statuses[200]
    tried(f"full disk, marks: {statuses[200]} saved, {statuses[507]} refused with 507, none lost")
