"""/api/files/{name}: uploads streamed to disk, one folder for each tenant, shared by both slots.

Rules. A name has no separator and does not begin with a dot. An upload is written beside its place
and moved there when it is whole, so a reader sees the old file or the new one. Disk work is done in
threads.
"""

import asyncio
import hashlib
import re
import uuid
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from aiohttp import web

from examples.print_erp.answers import answer
from examples.print_erp.context import erp_of, tenant_of
from examples.print_erp.problems import Problem, absent, invalid

FILE_BYTES = 64 << 20
FILES_PER_TENANT = 1_000
PIECE_BYTES = 1 << 18

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class Upload:
    """A file being written under a name of its own; keep() gives it its real one."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._part = target.with_name(f".{uuid.uuid4().hex}.part")
        self._file: BinaryIO | None = None
        self._sha256 = hashlib.sha256()
        self.size = 0

    def __enter__(self) -> Self:
        folder = self._target.parent
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self._target.exists() and sum(1 for _ in folder.iterdir()) >= FILES_PER_TENANT:
            raise Problem(507, "too-many-files", f"a tenant keeps at most {FILES_PER_TENANT} files")
        self._file = self._part.open("wb")
        return self

    def write(self, piece: bytes) -> None:
        """Add a piece. Problem 413 over FILE_BYTES."""
        self.size += len(piece)
        if self.size > FILE_BYTES:
            raise too_large()
        assert self._file is not None  # noqa: S101 - written only inside `with`
        self._file.write(piece)
        self._sha256.update(piece)

    def keep(self) -> str:
        """Make it the file; its SHA-256 in hex."""
        assert self._file is not None  # noqa: S101 - kept only inside `with`
        self._file.close()
        self._part.replace(self._target)
        return self._sha256.hexdigest()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()
            self._part.unlink(missing_ok=True)


def too_large() -> Problem:
    """413: the file is over FILE_BYTES."""
    return Problem(413, "too-large", f"a file is at most {FILE_BYTES} bytes")


def _path(request: web.Request) -> Path:
    name = request.match_info["name"]
    if not _NAME.fullmatch(name):
        raise invalid("a file's name is letters, digits, '.', '_' and '-', at most 128")
    return erp_of(request).settings.files / tenant_of(request) / name


async def put(request: web.Request) -> web.Response:
    """201 or 200, with the size and SHA-256 of what came."""
    path = _path(request)
    if (request.content_length or 0) > FILE_BYTES:
        raise too_large()
    existed = await asyncio.to_thread(path.exists)
    upload = Upload(path)
    await asyncio.to_thread(upload.__enter__)
    try:
        async for piece in request.content.iter_chunked(PIECE_BYTES):
            await asyncio.to_thread(upload.write, piece)
        sha256 = await asyncio.to_thread(upload.keep)
    finally:
        await asyncio.to_thread(upload.__exit__, None, None, None)
    body = {"name": path.name, "size": upload.size, "sha256": sha256}
    return answer(request, body, 200 if existed else 201)


async def get(request: web.Request) -> web.FileResponse:
    """The file, or the Range of it that was asked for."""
    path = _path(request)
    if not await asyncio.to_thread(path.is_file):
        raise absent("file")
    headers = {"Content-Type": "application/octet-stream", "Content-Disposition": "attachment"}
    return web.FileResponse(path, chunk_size=PIECE_BYTES, headers=headers)


async def delete(request: web.Request) -> web.Response:
    """204, or 404."""
    try:
        await asyncio.to_thread(_path(request).unlink)
    except FileNotFoundError:
        raise absent("file") from None
    return web.Response(status=204)


ROUTES = [
    web.put("/api/files/{name}", put),
    web.get("/api/files/{name}", get),
    web.delete("/api/files/{name}", delete),
]
