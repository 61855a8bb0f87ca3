"""What a storage service's adapter implements: everything above it relies on this, and on nothing else."""

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
    """One instance of a storage service, as its adapter implements it.

    An adapter implements what is abstract, overrides what its service has besides, and guarantees:

    1. The constructor, the properties, `folded` and `check_name` read nothing, write nothing and reach no network.
    2. Any method may be called from several threads at once.
    3. A call is one try: an adapter never retries and never sleeps. What may well work next time is RateLimited or
       Transient.
    4. Only a ProviderError is raised. A failure is never an empty list, a None or a quiet return.
    5. A call ends within a second of being interrupted, by its CancelToken or by `interrupt` of the session or reader,
       even on a stalled connection.
    6. An object is visible whole or not at all: it appears, or replaces the older one, in one step.
    7. Once `commit` or `remove` has returned, `stat`, `scan` and `read_range` see its effect.
    8. Keys are relative to the instance's container and prefix, with '/' as separator. An object can be fetched and
       removed under the key with which it is listed.
    9. A checksum is one that the service computed over the bytes it stores. An etag changes when the content does.
    10. An answer is compared with what was asked before it is believed. Listings are compared here, for every adapter
        (`providers/contract/listing.py`): a key that is not below the prefix, and a listing that runs in a circle or
        goes on without bringing anything, is Integrity.
    11. No text for a person (location, details, errors) holds a secret.

    The contract suite (`tests/contract`) holds every service to them.
    """

    name: ClassVar[str]
    """The service's name in the configuration: 'aws_s3'."""
    Settings: ClassVar[type[ProviderSettings]]
    tells_sessions: ClassVar[bool] = False
    """`pending_uploads` tells the `session_id` with which each was begun."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        listing.guard(cls)

    def __init__(self, config: Mapping[str, Any] | ProviderSettings, *, context: ProviderContext | None = None) -> None:
        """`config`: the instance's settings, as the guide's mapping or typed. Raises InvalidConfiguration."""
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
        """What this instance can do, refined by what `learn` found out."""

    @property
    @abstractmethod
    def location(self) -> str:
        """Where objects go and as whom, in one line for a person."""

    @abstractmethod
    def scan(self, prefix: str = "", *, delimiter: str = "", token: str | None = None, limit: int = 1000) -> Page:
        """One page of the objects whose key starts with `prefix`; with delimiter '/', folders are folded into
        `prefixes`.

        At most `limit` entries; `token` is an earlier page's `next_token`. An empty page is not the end unless it has
        no `next_token`. A prefix with nothing below it is an empty page, a missing container NotFound.
        """

    @abstractmethod
    def stat(self, key: str) -> RemoteFile:
        """The object with all checksums that the service tells. Raises NotFound."""

    @abstractmethod
    def open_upload(self, request: UploadRequest, *, token: dict[str, Any] | None = None) -> UploadSession:
        """A session for one object: a new one, or with `token` the one that was begun before.

        Raises InvalidName or Unsupported before anything is created. With a token nothing is asked of the server yet:
        `confirmed` does.
        """

    @abstractmethod
    def read_range(self, key: str, offset: int, size_bytes: int, *, etag: str = "") -> RangeReader:
        """The bytes [offset, offset + size_bytes) of an object. With `etag`, Conflict when the object has changed.

        NotFound when it is not there. An object that ends early is Integrity, a connection that ends early Transient.
        For no bytes the whole object is asked for, so that `total_bytes` tells whether it is empty.
        """

    @abstractmethod
    def remove(self, key: str) -> None:
        """Delete one object. Raises NotFound when it is not there and the service can tell.

        Where folders are real, a key that ends in '/' is a folder: Conflict unless it is empty.
        """

    @abstractmethod
    def check_reach(self) -> str:
        """Reach the service without proving who you are; returns what answered. First step of `probe`."""

    @abstractmethod
    def check_authentication(self) -> str:
        """Have the service accept the credentials; returns as whom. Second step of `probe`."""

    @abstractmethod
    def check_container(self) -> str:
        """See that the container is there and may be used; returns its description. Third step of `probe`."""

    # What an adapter overrides where its service has more, or other rules

    @property
    def place(self) -> str:
        """Where objects go: type, endpoint, container and prefix, in a form of which there is only one, and never as
        whom: keys are rotated. Two instances hold the same objects when their places are equal and `same_account` says
        so of their accounts."""
        return self.location

    def account(self) -> str:
        """Whose the place is, where the service tells that; else ''. Asks the service. Raises ProviderError."""
        return ""

    def same_account(self, one: str, other: str) -> bool:
        """Whether what `account` said at two times can mean the same; '' stands for not known."""
        return not one or not other or one == other

    @property
    def deletion(self) -> Deletion:
        """What deleting means at this instance."""
        if self.capabilities.keeps_old_versions:
            return Deletion(words="older versions may stay at the service, and cost", for_good=False)
        return Deletion(words="gone for good: nothing brings them back", for_good=True)

    def unusable(self) -> errors.ProviderError | None:
        """Why nothing at all can be stored here now, as far as that is known at once and without a request: a folder
        that is gone, or read-only. Asked after an error that may be about one object or about all."""
        return None

    def folded(self, key: str) -> str:
        """Equal for keys that the service takes for one. The key itself where names are compared byte by byte."""
        return key

    def check_name(self, key: str) -> None:
        """Raises InvalidName for a name under which nothing can be stored here. Known without asking the service: plans
        name such files beforehand, and no byte of them is sent. What every service refuses is refused here; one with
        rules of its own overrides it.
        """
        parts = key.removesuffix("/").split("/") if self.capabilities.empty_directories else key.split("/")
        if any(part in ("", ".", "..") for part in parts) or "\0" in key:
            raise InvalidName(f"'{key}': a name is relative, holds no NUL, and no part of it is empty, '.' or '..'")
        limit = self.capabilities.max_key_bytes
        if len(key.encode("utf-8", "surrogatepass")) > limit:
            raise InvalidName(f"'{key}': a name has at most {limit} bytes")

    def scan_tree(self, prefix: str = "", *, token: str | None = None, limit: int = 1000) -> Page:
        """As `scan` without a delimiter; where folders are real, with every folder in `prefixes`, that of a prefix
        which ends in '/' included, and none among the files."""
        return self.scan(prefix, token=token, limit=limit)

    def remove_many(self, keys: list[str]) -> dict[str, errors.ProviderError]:
        """Delete several; returns the failures by key. Services with a batch call override it."""
        failed: dict[str, errors.ProviderError] = {}
        for key in keys:
            try:
                with acting_on(key):
                    self.remove(key)
            except errors.ProviderError as error:
                failed[key] = error
        return failed

    def pending_uploads(self, key: str) -> list[PendingUpload]:
        """Unfinished uploads of just this key, with which `open_upload` can go on. Empty where the service has none."""
        return []

    def unfinished_uploads(self) -> list[PendingUpload]:
        """Every unfinished upload of this instance, whoever began it, with what it holds. Raises Unsupported, saying
        what becomes of them, where the service lists none."""
        raise errors.Unsupported(
            f"{self.name} lists no unfinished uploads", hint="Look at the service itself; many remove them in time."
        )

    def discard_unfinished(self, upload: PendingUpload) -> None:
        """Remove one of `unfinished_uploads`; one that is gone already is no error. Raises ProviderError."""
        raise errors.Unsupported(f"{self.name} lists no unfinished uploads")

    def containers(self) -> list[str]:
        """The containers that these credentials can see. Unsupported where the service has none to list."""
        raise errors.Unsupported(f"{self.name} lists no containers")

    def create_container(self, name: str) -> None:
        """Raises Conflict when it exists and belongs to somebody else, InvalidName, PermissionDenied."""
        raise errors.Unsupported(f"{self.name} creates no containers")

    def learn(self) -> None:  # noqa: B027 - not every service has something to find out
        """Find out by trying what this server enforces (a wrong checksum, a conditional write), remember it in
        `context.facts`, and leave nothing behind. Called by `probe`, and by the part loop before a first upload."""

    def close(self) -> None:  # noqa: B027 - not every service holds connections
        """Free connections. May be called twice."""


class RangeReader(ABC):
    """Bytes arriving from a service. Iterating yields chunks of any size and raises only ProviderError."""

    total_bytes: int | None = None
    """How long the whole object is, as the service tells it with the bytes: known from the first chunk on, of an empty
    object at the end. None where it is not told. `providers/engine/reading.py` compares it."""
    takes_whole: bool = False
    """Of a server that answers with the whole object where a range was asked for: take the range out of it, however
    much comes before. Without that, such an answer is Unsupported with the code NO_RANGE."""

    @abstractmethod
    def __iter__(self) -> Iterator[bytes]: ...

    @abstractmethod
    def interrupt(self) -> None:
        """Make a stalled read fail at once. From any thread; never blocks."""

    @abstractmethod
    def close(self) -> None:
        """Free the connection. May be called twice."""
