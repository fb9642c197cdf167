"""Which Python and which packages a peer runs on."""

import platform
from importlib import metadata

PACKAGES = ("authed", "websockets", "httpx", "fastapi", "starlette", "uvicorn", "pydantic", "PyJWT", "cryptography")


def versions():
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in PACKAGES}}
