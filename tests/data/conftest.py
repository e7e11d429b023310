"""Both decoders."""

from __future__ import annotations

import pytest

from bier.data import decoding


@pytest.fixture(params=["torchcodec", "pillow"])
def decoder(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every test that takes it runs with the fast decoder and without."""
    if request.param == "pillow":
        monkeypatch.setattr(decoding, "decoders", lambda: None)
    elif decoding.decoders() is None:
        pytest.skip("torchcodec is not installed")
    return str(request.param)
