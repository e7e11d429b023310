"""Every refusal as one JSON object, ``{"error": what, "remedy": what to do}``, with the status that fits."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from bier.data.box import BOX_REMEDY
from bier.data.formats import EXTRA
from bier.errors import BierError, ConfigError, ImageError, SearchError, StorageError


class Refusal(HTTPException):
    """A request that is not answered, with the reason."""

    def __init__(
        self, status: int, what: str, remedy: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(status, what, dict(headers or {}))
        self.remedy = remedy


def problem(
    status: int, what: str, remedy: str | None = None, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    content = {"error": _printable(what), "remedy": remedy and _printable(remedy)}
    return JSONResponse(content, status, dict(headers or {}))


def status_of(error: BierError) -> int:
    """Whose fault an error is: the request's or the disk's."""
    if isinstance(error, StorageError):
        return 507
    return 422 if isinstance(error, ConfigError | ImageError | SearchError) else 500


def answer_problems(app: FastAPI) -> None:
    """Let `app` answer errors as problems."""

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> JSONResponse:
        return problem(error.status_code, str(error.detail), getattr(error, "remedy", None), error.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        faults = [f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()]
        return problem(422, "; ".join(faults[:5])[:1000], "see /api for what a request may hold")

    @app.exception_handler(BierError)
    async def known(request: Request, error: BierError) -> JSONResponse:
        return problem(status_of(error), _without_paths(error), _remedy(error))


def _without_paths(error: BierError) -> str:
    """A picture's error with the name that was given to it; of other errors the place is a path of this machine."""
    return f"{error.where}: {error.what}" if isinstance(error, ImageError) and error.where else error.what


def _remedy(error: BierError) -> str | None:
    if not isinstance(error, ImageError) or error.remedy == BOX_REMEDY:
        return error.remedy
    if error.remedy is not None and EXTRA in error.remedy:
        return f"send a JPEG; or on the server, {error.remedy}"
    return "send another picture, or a smaller copy"


def _printable(text: str) -> str:
    """What a request sends may hold half a surrogate pair, which no answer can."""
    return text.encode("utf-8", "replace").decode()
