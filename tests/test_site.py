"""The site builds without a warning, documents every public name, and loads nothing from elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ["bier", "bier.losses", "bier.data", "bier.evaluate", "bier.search", "bier.export", "bier.serve"]
LOADED = {"src", "srcset", "poster", "data", "action", "xlink:href"}
FOLLOWED = {"a", "area"}
OUTSIDE = re.compile(r"\s*(?:[a-z]+:)?//", re.I)
IN_STYLE = re.compile(r"""(?:url\(\s*|@import\s+)["']?([^"')\s;]+)""")


class Loads(HTMLParser):
    """Collects what a browser fetches of itself; a link that a reader may click is not among it."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attributes:
            if name in LOADED or (name == "href" and tag not in FOLLOWED):
                self.found.append(value or "")
            elif name == "style":
                self.found += IN_STYLE.findall(value or "")


def loads(page: str) -> list[str]:
    parser = Loads()
    parser.feed(page)
    styles = re.findall(r"<style.*?</style>", page, re.S)
    return parser.found + [address for style in styles for address in IN_STYLE.findall(style)]


def outside(addresses: list[str]) -> list[str]:
    return [address for address in addresses if OUTSIDE.match(address)]


def directives() -> list[str]:
    """Names that the pages of the API reference document."""
    pages = sorted((ROOT / "docs" / "api").glob("*.md"))
    return [name for page in pages for name in re.findall(r"^::: (\S+)", page.read_text(encoding="utf-8"), re.M)]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    quiet = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=quiet, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_is_in_the_reference(package: str) -> None:
    documented = {id(resolve_name(name)) for name in directives()}
    module = import_module(package)
    assert [name for name in module.__all__ if id(getattr(module, name)) not in documented] == []


def test_no_name_is_in_the_reference_twice() -> None:
    names = directives()
    assert sorted(names) == sorted(set(names))


@pytest.mark.slow
def test_no_public_name_is_shown_as_the_module_of_that_name(site: Path) -> None:
    pages = "".join(page.read_text(encoding="utf-8") for page in (site / "api").glob("*.html"))
    assert pages.count('class="doc doc-object doc-function"') > 50, "the reference holds no functions"
    assert "doc-module" not in pages


@pytest.mark.slow
def test_every_page_is_built_and_programs_are_left_out(site: Path) -> None:
    pages = {page.relative_to(ROOT / "docs").with_suffix(".html") for page in (ROOT / "docs").rglob("*.md")}
    assert pages <= {page.relative_to(site) for page in site.rglob("*.html")}
    assert not list(site.rglob("*.py"))


@pytest.mark.slow
def test_pages_load_nothing_from_outside(site: Path) -> None:
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert any(address.endswith(".css") for address in loads(text)), f"{page.name} has no style: what was read?"
        assert outside(loads(text)) == [], page
        assert 'class="mermaid"' not in text, f"{page}: the theme would fetch a program that draws this"


@pytest.mark.slow
def test_styles_and_drawings_load_nothing_from_outside(site: Path) -> None:
    files = [file for kind in ("css", "svg") for file in site.rglob(f"*.{kind}")]
    assert {"site.css", "results-curves.svg"} <= {file.name for file in files}
    for file in files:
        text = file.read_text(encoding="utf-8")
        assert outside(loads(text) + IN_STYLE.findall(text)) == [], file


@pytest.mark.parametrize(
    "page",
    [
        '<script src="https://cdn.example/x.js"></script>',
        '<link rel="stylesheet" href="//fonts.example/css">',
        "<style>@import 'https://fonts.example/css';</style>",
        '<p style="background: url(http://pictures.example/x.png)">',
    ],
)
def test_what_loads_from_outside_is_found(page: str) -> None:
    assert outside(loads(page))


def test_a_link_to_follow_is_no_load() -> None:
    assert loads('<a href="https://arxiv.org/abs/1801.04815">the paper</a>') == []


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: Any) -> None:
        pass


@pytest.fixture
def address(site: Path) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.slow
def test_a_browser_asks_nobody_else_and_finds_a_name(browser: Any, address: str) -> None:
    page = browser.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for name in ("index.html", "results.html", "api/losses.html"):
        page.goto(f"{address}/{name}")
    page.get_by_role("textbox", name="Search").fill("NormalizedSoftmax")
    page.locator(".md-search-result__link").first.wait_for(timeout=120_000)
    page.close()
    assert len(asked) > 10
    assert [url for url in asked if not url.startswith((address, "data:", "blob:"))] == []
