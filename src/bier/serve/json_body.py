"""JSON bodies, parsed and checked in a thread of their own: a large one takes its time without holding up others."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from email.message import Message
from typing import Any, TypeVar

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

from bier.serve.problems import Refusal
from bier.serve.threads import Threads

SMALL = 16_384
"""Bytes that are parsed at once, in less than a millisecond."""
MOST_PARTS = 20_000
"""Lists, objects and names in them; more than any request needs, few enough to be built fast."""
_NAMED = 100

Model = TypeVar("Model", bound=BaseModel)


def parsed(model: type[Model]) -> Callable[[Request], Coroutine[Any, Any, Model]]:
    """A dependency: the request's body as a `model`; refused with 422 if it is none."""

    async def parse(request: Request) -> Model:
        _check_type(request.headers.get("content-type", ""))
        body = await request.body()
        if len(body) <= SMALL:
            return _checked(model, body)
        threads: Threads = request.app.state.parsing
        return await threads.run(_checked, model, body)

    return parse


def described(model: type[BaseModel]) -> dict[str, Any]:
    """The body in the API's description."""
    schema = {"$ref": f"#/components/schemas/{model.__name__}"}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def describe(app: FastAPI, *models: type[BaseModel]) -> None:
    """Add the models to the API's description."""
    schemas = app.openapi()["components"]["schemas"]
    for model in models:
        schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas.update(schema.pop("$defs", {}))
        schemas[model.__name__] = schema


def _check_type(content_type: str) -> None:
    message = Message()
    message["content-type"] = content_type
    if message.get_content_type() != "application/json":
        raise Refusal(422, "the body is not said to be JSON", "send the header Content-Type: application/json")


def _checked(model: type[Model], body: bytes) -> Model:
    if sum(body.count(sign) for sign in (b"[", b"{", b":")) > MOST_PARTS:
        raise Refusal(422, f"more than {MOST_PARTS:,} lists, objects and names", "see /api for what a request may hold")
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        if error.error_count() > _NAMED:  # naming them all would take seconds
            raise Refusal(422, f"{error.error_count():,} faults", "see /api for what a request may hold") from None
        faults = [{**fault, "loc": ("body", *fault["loc"])} for fault in error.errors()]
        raise RequestValidationError(faults) from None
