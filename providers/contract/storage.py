"""Storage, the interface that an adapter implements. All code above relies on this interface alone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from providers import errors, settings
from providers.contract import listing
from providers.contract.capabilities import Capabilities, Deletion
from providers.contract.context import ProviderContext, acting_on
from providers.contract.objects import Page, RemoteFile
from providers.contract.retry import RetryPolicy
from providers.contract.throttle import Limiter
from providers.contract.upload import PendingUpload, UploadRequest, UploadSession
from providers.errors import InvalidName
from providers.settings import ProviderSettings


class Storage(ABC):
    """One provider, as its adapter implements it.

    An adapter implements the abstract methods, overrides others where its service offers more, and guarantees:

    1. The constructor, the properties, `folded` and `check_name` do no I/O.
    2. Any method may be called from several threads at once.
    3. A call is one attempt: an adapter never retries and never sleeps. What may succeed on a retry is RateLimited or
       Transient.
    4. Only ProviderError is raised. A failure is never an empty list, a None or a silent return.
    5. A call ends within a second of being interrupted, by its CancelToken or by `interrupt` of the session or reader,
       even on a stalled connection.
    6. An object is visible whole or not at all: it appears, or replaces the older one, in one step.
    7. Once `commit` or `remove` has returned, `stat`, `scan` and `read_range` see its effect.
    8. Keys are relative to the container and prefix of the instance, with '/' as separator. An object can be fetched
       and removed under the key it is listed with.
    9. A checksum is computed by the service over the bytes it stores. An etag changes when the content does.
    10. An answer is checked against the request before it is trusted. Listings are checked here, for every adapter
        (`providers/contract/listing.py`): a key outside the prefix, and a listing that runs in a circle or goes on
        without progress, is Integrity.
    11. No text for people (location, details, errors) holds a secret.

    The contract suite (`providers.testing`) checks these for every service.
    """

    name: ClassVar[str]
    """The service name in the configuration: 'aws_s3'."""
    Settings: ClassVar[type[ProviderSettings]]
    tells_sessions: ClassVar[bool] = False
    """`pending_uploads` reports the `session_id` each upload was begun with."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        listing.guard(cls)

    def __init__(self, config: Mapping[str, Any] | ProviderSettings, *, context: ProviderContext | None = None) -> None:
        """`config`: the settings of the instance, as the guide's mapping or typed. Raises InvalidConfiguration."""
        self.context = context or ProviderContext()
        self.settings = config if isinstance(config, ProviderSettings) else settings.load(self.Settings, config)
        self.limiter = self.context.limiter or Limiter(
            self.settings.max_bandwidth, clock=self.context.clock, sleep=self.context.sleep
        )
        self.retry = RetryPolicy(
            self.settings.max_retries,
            self.settings.retry_delay,
            patience_s=self.context.patience_s,
            sleep=self.context.sleep,
            uniform=self.context.uniform,
        )

    # What every adapter implements

    @property
    @abstractmethod
    def capabilities(self) -> Capabilities:
        """What this instance can do, refined by what `learn` discovered."""

    @property
    @abstractmethod
    def location(self) -> str:
        """Destination and account, in one line for people."""

    @abstractmethod
    def scan(self, prefix: str = "", *, delimiter: str = "", token: str | None = None, limit: int = 1000) -> Page:
        """One page of the objects whose key starts with `prefix`; with delimiter '/', folders are folded into
        `prefixes`.

        At most `limit` entries; `token` is the `next_token` of an earlier page. Only a page without `next_token` is the
        last, even if it is empty. A prefix with nothing below it gives an empty page; a missing container is NotFound.
        """

    @abstractmethod
    def stat(self, key: str) -> RemoteFile:
        """The object, with all checksums the service reports. Raises NotFound."""

    @abstractmethod
    def open_upload(self, request: UploadRequest, *, token: dict[str, Any] | None = None) -> UploadSession:
        """A session for one object: a new one, or with `token` one begun earlier.

        Raises InvalidName or Unsupported before anything is created. With a token it does not contact the server yet;
        `confirmed` does.
        """

    @abstractmethod
    def read_range(self, key: str, offset: int, size_bytes: int, *, etag: str = "") -> RangeReader:
        """The bytes [offset, offset + size_bytes) of an object. With `etag`, Conflict if the object has changed.

        NotFound if it does not exist. An object that ends early is Integrity, a connection that ends early Transient.
        With `size_bytes` 0 the whole object is requested, so that `total_bytes` shows whether it is empty.
        """

    @abstractmethod
    def remove(self, key: str) -> None:
        """Delete one object. Raises NotFound if it does not exist and the service reports that.

        With real folders, a key ending in '/' is a folder: Conflict unless it is empty.
        """

    @abstractmethod
    def check_reach(self) -> str:
        """Reach the service without credentials; returns what answered. First step of `probe`."""

    @abstractmethod
    def check_authentication(self) -> str:
        """Have the service accept the credentials; returns the account. Second step of `probe`."""

    @abstractmethod
    def check_container(self) -> str:
        """Check that the container exists and may be used; returns its description. Third step of `probe`."""

    # What an adapter overrides if its service offers more or has other rules

    @property
    def place(self) -> str:
        """Destination of the objects: type, endpoint, container and prefix, normalised. Never the account, because keys
        are rotated. Two instances hold the same objects if their places are equal and `same_account` accepts their
        accounts."""
        return self.location

    def account(self) -> str:
        """Owner of the place, if the service reports it, else ''. Asks the service. Raises ProviderError."""
        return ""

    def same_account(self, one: str, other: str) -> bool:
        """Whether two answers of `account`, given at different times, can mean the same account; '' is unknown."""
        return not one or not other or one == other

    @property
    def deletion(self) -> Deletion:
        """What deleting means for this instance."""
        if self.capabilities.keeps_old_versions:
            return Deletion(words="older versions may remain at the service and cost money", for_good=False)
        return Deletion(words="gone for good: they cannot be restored", for_good=True)

    def unusable(self) -> errors.ProviderError | None:
        """Why nothing can be stored here now, if that is known at once and without a request: a folder that is missing
        or read-only. Asked after an error that may concern one object or all."""
        return None

    def folded(self, key: str) -> str:
        """Equal for keys that the service treats as one. The key itself if names are compared byte by byte."""
        return key

    def check_name(self, key: str) -> None:
        """Raises InvalidName for a name that cannot be stored here. Needs no request, so plans report such files
        beforehand and no byte of them is sent. Checks the rules all services share; one with more rules overrides it.
        """
        parts = key.removesuffix("/").split("/") if self.capabilities.empty_directories else key.split("/")
        if any(part in ("", ".", "..") for part in parts) or "\0" in key:
            raise InvalidName(f"'{key}': a name must be relative, without NUL, and without empty, '.' or '..' parts")
        limit = self.capabilities.max_key_bytes
        if len(key.encode("utf-8", "surrogatepass")) > limit:
            raise InvalidName(f"'{key}': a name may have at most {limit} bytes")

    def scan_tree(self, prefix: str = "", *, token: str | None = None, limit: int = 1000) -> Page:
        """As `scan` without a delimiter. With real folders, `prefixes` has every folder (including the prefix itself if
        it ends in '/') and `files` has none."""
        return self.scan(prefix, token=token, limit=limit)

    def remove_many(self, keys: list[str]) -> dict[str, errors.ProviderError]:
        """Delete several objects; returns the failures by key. Services with a batch call override it."""
        failed: dict[str, errors.ProviderError] = {}
        for key in keys:
            try:
                with acting_on(key):
                    self.remove(key)
            except errors.ProviderError as error:
                failed[key] = error
        return failed

    def pending_uploads(self, key: str) -> list[PendingUpload]:
        """Unfinished uploads of exactly this key that `open_upload` can continue. Empty if the service keeps none."""
        return []

    def unfinished_uploads(self) -> list[PendingUpload]:
        """Every unfinished upload of this instance, from any program, with the bytes it holds. If the service lists
        none, raises Unsupported, saying what becomes of them."""
        raise errors.Unsupported(
            f"{self.name} lists no unfinished uploads", hint="Check at the service; many remove them after a while."
        )

    def discard_unfinished(self, upload: PendingUpload) -> None:
        """Remove one of `unfinished_uploads`; no error if it is already gone. Raises ProviderError."""
        raise errors.Unsupported(f"{self.name} lists no unfinished uploads")

    def containers(self) -> list[str]:
        """The containers visible to these credentials. Raises Unsupported if the service lists none."""
        raise errors.Unsupported(f"{self.name} lists no containers")

    def create_container(self, name: str) -> None:
        """Raises Conflict if it exists and has another owner, InvalidName, PermissionDenied."""
        raise errors.Unsupported(f"{self.name} creates no containers")

    def learn(self) -> None:  # noqa: B027 - not every service has something to find out
        """Discover by trial what this server enforces (a wrong checksum, a conditional write), remember it in
        `context.facts`, and leave nothing behind. Called by `probe`, and by the part loop before the first upload."""

    def close(self) -> None:  # noqa: B027 - not every service holds connections
        """Release connections. May be called twice."""


class RangeReader(ABC):
    """Bytes arriving from a service. Yields chunks of any size; raises only ProviderError."""

    total_bytes: int | None = None
    """Length of the whole object, as reported with the bytes: known from the first chunk on; for an empty object, at
    the end. None if not reported. `providers/engine/reading.py` compares it."""
    takes_whole: bool = False
    """Accept a server that answers a range request with the whole object, and cut the range out of it. Otherwise such
    an answer is Unsupported with the code NO_RANGE."""

    @abstractmethod
    def __iter__(self) -> Iterator[bytes]: ...

    @abstractmethod
    def interrupt(self) -> None:
        """Make a stalled read fail at once. May be called from any thread; never blocks."""

    @abstractmethod
    def close(self) -> None:
        """Release the connection. May be called twice."""
