"""Whatever a client sends, the server does not fail: requests made from the OpenAPI description."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

Serve = Callable[..., httpx.Client]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_no_request_makes_the_server_fail(serve: Serve, tmp_path: Path, cars: list[Path]) -> None:
    import schemathesis
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis.errors import Unsatisfiable
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

    client = serve(marks=tmp_path / "marks.jsonl")
    schema = schemathesis.openapi.from_url(f"{client.base_url}/openapi.json")
    checks = [not_a_server_error, response_schema_conformance, status_code_conformance]
    bounded = settings(
        max_examples=40,
        deadline=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    tried = 0
    for result in schema.get_all_operations():
        operation = result.ok()
        for mode in (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE):

            @bounded
            @given(case=operation.as_strategy(generation_mode=mode))
            def ask(case: schemathesis.Case) -> None:
                nonlocal tried
                tried += 1
                case.call_and_validate(checks=checks)

            with suppress(Unsatisfiable):  # what takes no input has no wrong one
                ask()
    assert tried > 200
    assert client.get("/ready").status_code == 200
