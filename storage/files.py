"""Files in a folder or at any fsspec URL: written whole or not at all."""

from __future__ import annotations

import errno
import os
import re
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from storage import urls
from storage.errors import CheckpointError, StorageFullError


class Files(Protocol):
    """A place for files, whose names are relative and separated by ``/``."""

    def uri(self, name: str) -> str: ...
    def write(self, name: str, content: bytes) -> None: ...
    def read(self, name: str) -> bytes: ...
    def remove(self, name: str) -> None: ...
    def remove_folder(self, name: str) -> None: ...
    def list(self, folder: str) -> list[str]: ...


def open_files(root: str) -> Files:
    """Return the files under a folder or an fsspec URL such as ``s3://bucket/path``.

    Raises:
        CheckpointError: the URL's protocol is unknown or its package is not installed.
    """
    if re.match(r"^[a-z][a-z0-9+.-]+://", root) and not root.startswith("file://"):
        return RemoteFiles(root)
    return LocalFiles(Path(root.removeprefix("file://")))


class LocalFiles:
    """Files in a folder of this machine, or of a file system that several machines mount."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()

    def uri(self, name: str) -> str:
        return str(self.root / name)

    def write(self, name: str, content: bytes) -> None:
        """Write a file beside its place and move it there, so that nobody ever sees a part of it.

        Raises:
            StorageFullError: the disk is full.
            CheckpointError: the folder cannot be written.
        """
        path = self.root / name
        draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with draft.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        except OSError as error:
            with suppress(OSError):
                draft.unlink(missing_ok=True)
            if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                raise StorageFullError(f"'{path}' could not be written: the disk is full") from error
            raise CheckpointError(f"'{path}' could not be written: {error.strerror}") from error

    def read(self, name: str) -> bytes:
        """Return the content.

        Raises:
            OSError: there is no such file.
        """
        return (self.root / name).read_bytes()

    def remove(self, name: str) -> None:
        (self.root / name).unlink(missing_ok=True)

    def remove_folder(self, name: str) -> None:
        folder = self.root / name
        with suppress(FileNotFoundError):  # another worker tidies up as well
            for path in folder.iterdir():
                path.unlink(missing_ok=True)
            folder.rmdir()

    def list(self, folder: str) -> list[str]:
        place = self.root / folder
        return sorted(f"{folder}/{path.name}" for path in place.iterdir()) if place.is_dir() else []


class RemoteFiles:
    """Files in an object store; a put of one object is atomic there."""

    def __init__(self, root: str) -> None:
        import fsspec

        self.root = root.rstrip("/")
        try:
            found: tuple[Any, str] = fsspec.core.url_to_fs(self.root)
        except (ValueError, ImportError) as error:
            raise CheckpointError(f"'{urls.mask(root)}' cannot hold files: {error}") from error
        self._system, self._base = found

    def uri(self, name: str) -> str:
        return f"{self.root}/{name}"

    def write(self, name: str, content: bytes) -> None:
        """Put the file.

        Raises:
            CheckpointError: it cannot be written.
        """
        try:
            self._system.makedirs(f"{self._base}/{name}".rpartition("/")[0], exist_ok=True)
            self._system.pipe_file(f"{self._base}/{name}", content)
        except OSError as error:
            raise CheckpointError(f"'{urls.mask(self.uri(name))}' could not be written: {error}") from error

    def read(self, name: str) -> bytes:
        """Return the content.

        Raises:
            OSError: there is no such file.
        """
        self._system.invalidate_cache()
        return bytes(self._system.cat_file(f"{self._base}/{name}"))

    def remove(self, name: str) -> None:
        if self._system.exists(f"{self._base}/{name}"):
            self._system.rm_file(f"{self._base}/{name}")

    def remove_folder(self, name: str) -> None:
        if self._system.exists(f"{self._base}/{name}"):
            self._system.rm(f"{self._base}/{name}", recursive=True)

    def list(self, folder: str) -> list[str]:
        self._system.invalidate_cache()
        if not self._system.exists(f"{self._base}/{folder}"):
            return []
        found = self._system.ls(f"{self._base}/{folder}", detail=False)
        return sorted(f"{folder}/{str(path).rpartition('/')[2]}" for path in found)
