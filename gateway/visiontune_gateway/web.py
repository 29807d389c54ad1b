"""The built web UI as static files, under a strict content security policy."""

import asyncio
import stat
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, PlainTextResponse, Response
from starlette.staticfiles import StaticFiles

_NOT_BUILT = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>VisionTune</title>
<h1>The web UI is not built</h1>
<p>The API works: <a href="/openapi.json">/openapi.json</a>. In a source checkout, <code>make setup</code>
builds the UI; the released wheel brings it along.</p></html>
"""
# The build puts a digest of the content into these names.
_HASHED = "assets/"
_FOR_EVER = "public, max-age=31536000, immutable"
_ASK_AGAIN = "no-cache"


class WebApp:
    """Serves files of the build; any other path is the app's own, and gets its index.html."""

    def __init__(self, folder: Path, object_store_origins: str) -> None:
        self._folder = folder
        self._files = StaticFiles(directory=folder, check_dir=False)
        self._headers = {
            "Content-Security-Policy": content_security_policy(object_store_origins),
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Opener-Policy": "same-origin",
        }

    async def answer(self, request: Request) -> Response:
        """Answers GET and HEAD of everything that is not the API."""
        response = await asyncio.to_thread(self._find, request)
        response.headers.update(self._headers)
        return response

    def _find(self, request: Request) -> Response:
        index = self._folder / "index.html"
        if not index.is_file():
            return HTMLResponse(_NOT_BUILT, 404)
        path = self._files.get_path(request.scope)
        full_path, found = self._files.lookup_path(path)
        is_hashed = path.startswith(_HASHED)
        if found is not None and stat.S_ISREG(found.st_mode):
            response = self._files.file_response(full_path, found, request.scope)
            response.headers["Cache-Control"] = _FOR_EVER if is_hashed else _ASK_AGAIN
            return response
        if is_hashed or Path(path).suffix:
            return PlainTextResponse("No such file.", 404)
        return FileResponse(index, headers={"Cache-Control": _ASK_AGAIN})


def content_security_policy(object_store_origins: str) -> str:
    """Own scripts and styles only; bytes also from and to the object store's signed URLs."""
    store = f" {object_store_origins}" if object_store_origins else ""
    rules = {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "font-src": "'self'",
        "img-src": f"'self' data: blob:{store}",
        "connect-src": f"'self'{store}",
        "manifest-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in rules.items())
