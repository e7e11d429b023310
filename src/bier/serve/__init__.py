"""Search over HTTP, with a page for people: `create_app` is an ASGI app, `serve` runs it."""

from bier.system.extras import need

for _module in ("fastapi", "uvicorn", "prometheus_client", "python_multipart"):
    need(_module, "serve")

from bier.serve.app import create_app  # noqa: E402
from bier.serve.following import Follow  # noqa: E402
from bier.serve.server import serve  # noqa: E402
from bier.serve.settings import ServeSettings  # noqa: E402

__all__ = ["Follow", "ServeSettings", "create_app", "serve"]
