"""Adapter for guide-style classes: they take a mapping, override the guide's five methods, and know no pages, sessions
or ranges. `providers.base.adapted` wraps one as a provider.

The results of such a class are not trusted: False is an error, and an upload counts only after the object was fetched
back and compared. Nothing resumes, because the class sends whole files. It controls its own bandwidth.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar, Final, TypeVar

import msgspec

from providers.contract.cancel import CancelToken
from providers.contract.capabilities import Capabilities
from providers.contract.context import ProviderContext
from providers.contract.listing import refused
from providers.contract.objects import Page, RemoteFile, size_from_json
from providers.contract.storage import RangeReader
from providers.contract.upload import Part, PartBody, PartReceipt, UploadRequest, UploadSession
from providers.errors import (
    Cancelled,
    Conflict,
    Integrity,
    NotFound,
    ProviderError,
    Transient,
    Unsupported,
)
from providers.guide.settings import settings_of
from providers.http.addresses import normal_address
from providers.operations import Operations
from providers.secret import Secret
from providers.settings import ProviderSettings

_LOG: Final = logging.getLogger(__name__)
FIVE: Final = ("upload", "download", "list_files", "delete", "test_connection")
_FIRST_LISTING: Final = 1000
_MAX_TIME_S: Final = 10**15
_LONGEST_LISTING: Final = 10_000_000
_CHUNK: Final = 1 << 20
_NAMES: Final = ("name", "file_name", "key", "path")
_SIZES: Final = ("size", "size_bytes", "length")
_TIMES: Final = ("modified", "modified_at", "mtime")

T = TypeVar("T")


def is_guide_style(found: Any) -> bool:
    """Whether a class overrides the guide's five methods and leaves the rest of the contract abstract."""
    if not isinstance(found, type) or (issubclass(found, Operations) and not inspect.isabstract(found)):
        return False
    return all(callable(getattr(found, name, None)) and not _is_ours(found, name) for name in FIVE)


def _is_ours(found: type, name: str) -> bool:
    return getattr(found, name) is getattr(Operations, name)


def attributes_of(found: type, name: str) -> dict[str, Any]:
    """Attributes of the GuideStyle subclass that works through the five methods of `found`."""
    return {
        "__doc__": found.__doc__,
        "__module__": found.__module__,
        "name": name or getattr(found, "name", "") or found.__name__.removesuffix("Provider").lower(),
        "Settings": settings_of(found),
        "five_class": _bare(found),
    }


def _bare(found: type) -> type:
    """The class with its abstract methods filled in, so that it can be instantiated."""
    if not issubclass(found, Operations):
        return found
    rest = dict.fromkeys(found.__abstractmethods__, _not_in_the_guide)
    return type(found.__name__, (found, _GuideBase), {"__module__": found.__module__, **rest})


def _not_in_the_guide(self: Any, *args: Any, **kwargs: Any) -> Any:
    raise Unsupported("not one of the guide's five methods")


class _GuideBase(Operations):
    """The base class that `super().__init__(config)` of a guide-style class reaches."""

    guide_adapter: GuideStyle

    def __init__(self, config: Any, *, context: ProviderContext | None = None) -> None:
        own = self.guide_adapter
        super().__init__(own.settings, context=own.context)
        self.config = dict(config)
        self.logger = logging.getLogger(f"{__package__}.{own.name}")
        self.max_retries = own.settings.max_retries
        self.retry_delay = own.settings.retry_delay


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """The guide's mapping: plain text for Secrets, as the class passes it to its SDK; '' for missing ones."""
    plain = {key: value.reveal() if isinstance(value, Secret) else value for key, value in values.items()}
    plain |= {key: "" for key in ("password", "api_key", "secret_key") if plain.get(key) is None}
    # The guide's command line stores username and password; its class reads api_key and secret_key.
    plain["api_key"] = plain["api_key"] or plain.get("username") or ""
    plain["secret_key"] = plain["secret_key"] or plain["password"]
    return plain


class GuideStyle(Operations):
    """Implements `Storage` over the five methods of a wrapped class."""

    Settings = ProviderSettings
    five_class: ClassVar[type]

    def __init__(self, config: Mapping[str, Any] | ProviderSettings, *, context: ProviderContext | None = None) -> None:
        super().__init__(config, context=context)
        given = {} if isinstance(config, ProviderSettings) else dict(config)
        self.config = _plain(given | msgspec.structs.asdict(self.settings))
        cls: Any = self.five_class
        self.five: Any = cls.__new__(cls)
        """Instance of the wrapped class. Called only through `_asked`, because its results are not trusted."""
        if issubclass(cls, Operations):
            self.five.name, self.five.guide_adapter = self.name, self
        self.five.__init__(self.config)

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(resumable_uploads=False, max_parts=1, ranged_reads=False, server_prefix_search=False)

    @property
    def location(self) -> str:
        own = self.settings
        user = getattr(own, "username", "")
        return f"{self.name}:{f'{user}@' if user else ''}{own.container}"

    @property
    def place(self) -> str:
        """Location according to the settings, without `username`: that is a key, and may be rotated."""
        own = self.settings
        address = str(getattr(own, "endpoint_url", "") or "")
        prefix = str(getattr(own, "prefix", "") or "").strip("/")
        return f"{self.name}{f' {normal_address(address)}' if address else ''}:{own.container} prefix={prefix}"

    # Reading

    def scan(self, prefix: str = "", *, delimiter: str = "", token: str | None = None, limit: int = 1000) -> Page:
        entries: dict[str, RemoteFile | None] = {}
        for file in sorted(self._listed(prefix), key=lambda each: each.key):
            cut = file.key.find(delimiter, len(prefix)) if delimiter else -1
            if cut >= 0:
                entries[file.key[: cut + len(delimiter)]] = None
            else:
                entries[file.key] = file
        later = [key for key in sorted(entries) if key > (token or "")]
        window = later[:limit]
        found = [entries[key] for key in window]
        return Page(
            files=tuple(each for each in found if each is not None),
            prefixes=tuple(key for key in window if entries[key] is None),
            next_token=window[-1] if len(later) > limit else None,
        )

    def stat(self, key: str) -> RemoteFile:
        for file in self._listed(key):
            if file.key == key:
                return file
        raise NotFound(f"{key}: {self.name} lists no such file")

    def _listed(self, prefix: str) -> list[RemoteFile]:
        """All files. The class has no pages, so this asks for more and more until it gets fewer than requested."""
        asked = _FIRST_LISTING
        while True:
            found = self._asked("list_files", functools.partial(self.five.list_files, prefix, asked))
            if not isinstance(found, list):
                raise ProviderError(f"{self.name}: list_files returned {type(found).__name__}, not a list")
            if not found:
                self.check_reach()  # such a class may return an empty list after an error
            if len(found) < asked:
                return [_remote_file(self.name, item) for item in found]
            if asked >= _LONGEST_LISTING:
                raise refused(f"{self.name}: list_files returns as many files as requested, without end", "endless")
            asked *= 10

    def read_range(self, key: str, offset: int, size_bytes: int, *, etag: str = "") -> RangeReader:
        if etag and self.stat(key).etag != etag:
            raise Conflict(f"{key}: it has changed")
        return _Reader(self, key, offset, size_bytes)

    def fetch(self, key: str, target: Path, cancel: CancelToken) -> None:
        """Let the class download a file. Raises ProviderError, Cancelled."""

        def progress(bytes_done: int, bytes_total: int) -> None:
            cancel.check()

        try:
            self._agreed("download", lambda: self.five.download(key, target, progress), key, cancel)
        except ProviderError:
            cancel.check()
            self.stat(key)  # NotFound, if that is the reason
            raise

    # Writing

    def open_upload(self, request: UploadRequest, *, token: dict[str, Any] | None = None) -> UploadSession:
        self.check_name(request.key)
        return _Session(self, request)

    def store(self, path: Path, key: str, moved: Callable[[int], None], cancel: CancelToken) -> None:
        """Let the class upload a file. Raises ProviderError, Cancelled, and the errors of `moved`."""
        stopped: list[Exception] = []

        def progress(bytes_done: int, bytes_total: int) -> None:
            cancel.check()
            try:
                moved(bytes_done)
            except Exception as error:  # our own error: raised unchanged below
                stopped.append(error)
                raise

        try:
            self._agreed("upload", lambda: self.five.upload(path, key, progress), key, cancel)
        except ProviderError:
            if stopped:
                raise stopped[0] from None
            raise

    def remove(self, key: str) -> None:
        self.stat(key)  # some classes return True for a missing file
        if self._asked("delete", lambda: self.five.delete(key)) is not True:
            raise _refused(self.name, "delete", key)

    def check_reach(self) -> str:
        if self._asked("test_connection", self.five.test_connection) is not True:
            raise ProviderError(
                f"{self.name}: its test_connection reports a failure without a reason",
                hint="The log may contain more. Check settings and credentials.",
            )
        return f"{self.name} reports that the connection works"

    def check_authentication(self) -> str:
        return "part of test_connection"

    def check_container(self) -> str:
        self.check_reach()
        return self.settings.container or "its own"

    def close(self) -> None:
        close = getattr(self.five, "close", None)
        if callable(close):
            self._asked("close", close)

    # Calling the class

    def _agreed(self, method: str, call: Callable[[], object], key: str, cancel: CancelToken) -> None:
        try:
            result = self._asked(method, call)
        finally:
            cancel.check()  # a class that catches everything turns our Cancelled into False
        if result is not True:
            raise _refused(self.name, method, key)

    def _asked(self, method: str, call: Callable[[], T]) -> T:
        self.context.count_call(method)
        try:
            return call()
        except ProviderError:
            raise
        except (ConnectionError, TimeoutError) as error:
            raise Transient(f"{self.name}: {method} failed: {type(error).__name__}") from error
        except Exception as error:  # third-party code: its text may hold anything, so it goes only to the log
            _LOG.warning("%s of %s failed", method, self.name, exc_info=error)
            raise ProviderError(f"{self.name}: {method} failed: {type(error).__name__}", hint="See the log.") from error


def _refused(name: str, method: str, key: str) -> ProviderError:
    return ProviderError(f"{key}: {method} of {name} failed without a reason", hint="The log may contain more.")


def _remote_file(service: str, item: Any) -> RemoteFile:
    """One entry of `list_files`; the guide does not define its form."""
    if isinstance(item, Mapping):
        name = next((item[key] for key in _NAMES if isinstance(item.get(key), str)), None)
        size = next((item[key] for key in _SIZES if item.get(key) is not None), None)
        if name is not None and size is not None:
            at = next((float(item[key]) for key in _TIMES if _is_number(item.get(key))), None)
            etag = item.get("etag") or hashlib.sha256(f"{item.get('id')} {size} {at}".encode()).hexdigest()[:32]
            return RemoteFile(key=name, size_bytes=size_from_json(name, size), modified_at=at, etag=str(etag))
    raise ProviderError(f"{service}: list_files returned an entry without name (text) and size (a number of bytes)")


def _is_number(value: object) -> bool:
    """Whether it is a number that fits a float."""
    return isinstance(value, float) or (isinstance(value, int) and abs(value) < _MAX_TIME_S)


class _Session(UploadSession):
    """Sends the whole file in `send`: such an object is visible as soon as it exists."""

    def __init__(self, provider: GuideStyle, request: UploadRequest) -> None:
        self.request = request
        self._provider = provider
        self._stop = CancelToken()

    @property
    def token(self) -> None:
        return None

    def confirmed(self) -> Sequence[PartReceipt]:
        return ()

    def send(self, part: Part, body: PartBody, digests: Mapping[str, str]) -> PartReceipt:
        if self.request.only_if_absent:
            with suppress(NotFound):
                self._provider.stat(self.request.key)
                raise Conflict(f"{self.request.key}: something of that name is already there")
        path = getattr(body, "path", None)
        if isinstance(path, Path):
            # Seek the window to the position that the class reports: this updates the progress.
            last = max(0, part.size_bytes - 1)

            def moved(done: int) -> None:
                body.seek(min(done, last))

            self._store(path, moved)
        else:
            with tempfile.TemporaryDirectory() as folder:
                copy = Path(folder, "body")
                copy.write_bytes(body.read())
                self._store(copy, lambda done: None)
        return PartReceipt(index=part.index, size_bytes=part.size_bytes)

    def _store(self, path: Path, moved: Callable[[int], None]) -> None:
        try:
            self._provider.store(path, self.request.key, moved, self._stop)
        except Cancelled:
            raise Transient("the upload was interrupted") from None

    def commit(self, receipts: Sequence[PartReceipt]) -> RemoteFile:
        return self._provider.stat(self.request.key)

    def abort(self) -> None:
        """Nothing to undo: the file was stored or it was not."""

    def interrupt(self) -> None:
        """Takes effect at the next progress call of the class."""
        self._stop.cancel()


class _Reader(RangeReader):
    """Downloads the whole object to a temporary file on the first read."""

    def __init__(self, provider: GuideStyle, key: str, offset: int, size_bytes: int) -> None:
        self._provider = provider
        self._key = key
        self._offset = offset
        self._size = size_bytes
        self._stop = CancelToken()
        self._folder = ""

    def __iter__(self) -> Iterator[bytes]:
        self._folder = tempfile.mkdtemp(prefix="homeserver-backup-")
        copy = Path(self._folder, "object")
        try:
            self._provider.fetch(self._key, copy, self._stop)
        except Cancelled:
            raise Transient("the download was interrupted") from None
        if not copy.is_file():
            raise Integrity(f"{self._key}: {self._provider.name} reports a finished download, but there is no file")
        self.total_bytes = copy.stat().st_size
        with copy.open("rb") as file:
            os.lseek(file.fileno(), self._offset, os.SEEK_SET)
            left = self._size
            while left and (chunk := file.read(min(_CHUNK, left))):
                left -= len(chunk)
                yield chunk
                if self._stop.cancelled:
                    raise Transient("the download was interrupted")
        if left:
            raise Integrity(f"{self._key}: ends {left} bytes early")

    def interrupt(self) -> None:
        self._stop.cancel()

    def close(self) -> None:
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._folder = ""
