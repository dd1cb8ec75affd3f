"""Where the catalog's files live: a local folder or an S3 bucket, behind the same five calls.

``MARKET_DATA_URL`` is a path, ``file://...`` or ``s3://bucket/prefix``. S3 credentials come from the usual
AWS environment; ``AWS_ENDPOINT_URL_S3`` or ``AWS_ENDPOINT_URL`` (or ``?endpoint_override=`` in the URL) names
another host.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

import pyarrow as pa
from pyarrow import fs

from trading.marketdata.errors import CatalogError

PARALLEL_READS = 16


class Storage(Protocol):
    """Whole files by relative path. ``write`` is atomic: a reader sees the old file or the new one."""

    @property
    def url(self) -> str: ...

    def read(self, path: str) -> bytes | None:
        """The content, or None where there is no such file."""

    def read_many(self, paths: Sequence[str]) -> list[bytes | None]:
        """Several files, side by side where the distance makes that worth it."""

    def write(self, path: str, data: bytes) -> None: ...

    def delete(self, path: str) -> None: ...

    def files(self, folder: str) -> list[str]:
        """Relative paths of all files below a folder, sorted."""

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Keeps other writers of the same name out, as far as the storage can."""


class LocalStorage:
    """A folder. Writes go to a temporary file beside the target, are synced, then renamed over it."""

    def __init__(self, root: Path) -> None:
        self.root = root.expanduser().absolute()

    @property
    def url(self) -> str:
        return str(self.root)

    def read(self, path: str) -> bytes | None:
        try:
            with open(f"{self.root}/{path}", "rb") as file:  # noqa: PTH123 - a third of Path.read_bytes' overhead
                return file.read()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise CatalogError(f"{self.root}/{path} cannot be read: {error}.") from error

    def read_many(self, paths: Sequence[str]) -> list[bytes | None]:
        return [self.read(path) for path in paths]

    def write(self, path: str, data: bytes) -> None:
        target = self.root / path
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=".writing-")
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                Path(temporary).chmod(0o644)
                Path(temporary).replace(target)
            except BaseException:
                Path(temporary).unlink(missing_ok=True)
                raise
        except OSError as error:
            raise CatalogError(f"{target} cannot be written: {error}. Check MARKET_DATA_URL and the disk.") from error

    def delete(self, path: str) -> None:
        with suppress(FileNotFoundError):
            (self.root / path).unlink()

    def files(self, folder: str) -> list[str]:
        base = self.root / folder
        return sorted(
            str(found.relative_to(self.root))
            for found in base.rglob("*")
            if found.is_file() and not found.name.startswith(".")
        )

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        folder = self.root / ".locks"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            file = (folder / name.replace("/", "_")).open("w")
        except OSError as error:
            raise CatalogError(f"{folder} cannot be written: {error}. Check MARKET_DATA_URL and the disk.") from error
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


class S3Storage:
    """A bucket and prefix. A put is atomic by itself; two writers of one series must be kept apart by the
    caller.
    """

    def __init__(self, bucket: str, prefix: str, options: Mapping[str, str], environ: Mapping[str, str]) -> None:
        self._base = f"{bucket}/{prefix.strip('/')}".rstrip("/")
        endpoint = (
            options.get("endpoint_override") or environ.get("AWS_ENDPOINT_URL_S3") or environ.get("AWS_ENDPOINT_URL")
        )
        arguments: dict[str, Any] = {
            "connect_timeout": 5,
            "request_timeout": 30,
            "retry_strategy": fs.AwsStandardS3RetryStrategy(max_attempts=3),
        }
        if endpoint:
            parts = urlsplit(endpoint if "//" in endpoint else f"{options.get('scheme', 'https')}://{endpoint}")
            arguments |= {"endpoint_override": parts.netloc, "scheme": parts.scheme}
        region = options.get("region") or environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION")
        if region or endpoint:
            arguments["region"] = region or "us-east-1"
        self._fs = fs.S3FileSystem(**arguments)

    @property
    def url(self) -> str:
        return f"s3://{self._base}"

    def read(self, path: str) -> bytes | None:
        try:
            with self._fs.open_input_stream(f"{self._base}/{path}") as stream:
                content: bytes = stream.read()
                return content
        except FileNotFoundError:
            return None
        except (OSError, pa.ArrowException) as error:
            raise CatalogError(f"{self.url}/{path} cannot be read: {error}") from error

    def read_many(self, paths: Sequence[str]) -> list[bytes | None]:
        if len(paths) < 2:
            return [self.read(path) for path in paths]
        with ThreadPoolExecutor(min(len(paths), PARALLEL_READS)) as pool:
            return list(pool.map(self.read, paths))

    def write(self, path: str, data: bytes) -> None:
        try:
            with self._fs.open_output_stream(f"{self._base}/{path}") as stream:
                stream.write(data)
        except (OSError, pa.ArrowException) as error:
            raise CatalogError(f"{self.url}/{path} cannot be written: {error}") from error

    def delete(self, path: str) -> None:
        with suppress(FileNotFoundError):
            self._fs.delete_file(f"{self._base}/{path}")

    def files(self, folder: str) -> list[str]:
        selector = fs.FileSelector(f"{self._base}/{folder}", recursive=True, allow_not_found=True)
        try:
            found = self._fs.get_file_info(selector)
        except (OSError, pa.ArrowException) as error:
            raise CatalogError(f"{self.url}/{folder} cannot be listed: {error}") from error
        start = len(self._base) + 1
        return sorted(info.path[start:] for info in found if info.type == fs.FileType.File)

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        yield


def open_storage(url: str, environ: Mapping[str, str] | None = None) -> Storage:
    """The storage a MARKET_DATA_URL names; raises CatalogError on a scheme it does not know."""
    parts = urlsplit(url)
    if parts.scheme == "s3":
        if not parts.netloc:
            raise CatalogError(f"'{url}' names no bucket: write s3://bucket/prefix.")
        options = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        return S3Storage(parts.netloc, parts.path, options, os.environ if environ is None else environ)
    if parts.scheme == "file":
        return LocalStorage(Path(parts.path))
    if parts.scheme and "://" in url:
        raise CatalogError(f"'{url}': MARKET_DATA_URL is a local path or s3://bucket/prefix.")
    return LocalStorage(Path(url))
