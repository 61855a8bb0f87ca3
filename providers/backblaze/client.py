"""B2 account of one application key: its tokens, upload URLs and bucket id, all in memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import msgspec
from b2sdk.v3 import B2RawHTTPApi, B2Session, InMemoryAccountInfo
from b2sdk.v3.exception import B2Error

from providers.backblaze import errors
from providers.backblaze.transport import Transport
from providers.contract.cancel import active_token
from providers.errors import Conflict, Integrity, InvalidConfiguration, NotFound, PermissionDenied
from providers.http.connections import Calls
from providers.http.network import Network
from providers.http.range import content_length, whole_size
from providers.http.request import HttpAnswer
from providers.remedies import Action, Remedy
from providers.secret import Secret

REALM: Final = "https://api.backblazeb2.com"
MIN_PART_BYTES: Final = 5_000_000
_LOOK_S: Final = 0.1
_CREATES: Final = "writeBuckets"


class AllowedBucket(msgspec.Struct, frozen=True):
    id: str
    name: str | None = None
    """None for a deleted bucket."""


class Allowed(msgspec.Struct, frozen=True):
    """Restrictions of a key."""

    capabilities: frozenset[str]
    buckets: tuple[AllowedBucket, ...] | None = None
    """None: all buckets."""
    name_prefix: str | None = msgspec.field(name="namePrefix", default=None)
    """None: all names."""

    @property
    def bucket_names(self) -> str:
        return ", ".join(bucket.name or "a bucket that is gone" for bucket in self.buckets or ())


class _RawApi(B2RawHTTPApi):  # type: ignore[misc]
    def list_folder(self, api_url: str, token: str, **params: object) -> Any:
        """b2_list_file_names with all its parameters: the SDK's own method has no delimiter."""
        return self._post_json(api_url, "b2_list_file_names", token, **params)


class _Session(B2Session):  # type: ignore[misc]
    """The SDK's session: renews tokens, keeps one upload URL per connection and drops those that failed."""

    def __init__(self, transport: Transport) -> None:
        self.B2HTTP_CLASS = lambda config: transport
        super().__init__(InMemoryAccountInfo())
        self.raw_api = _RawApi(transport)

    def list_folder(self, **params: object) -> Any:
        return self._wrap_default_token(self.raw_api.list_folder, **params)


class Account:
    """Access to B2 with one key. Signs in on the first call; every method raises ProviderError."""

    def __init__(
        self,
        *,
        key_id: str,
        key: Secret | None,
        realm: str,
        bucket: str,
        network: Network,
        timeout_s: float,
        count_call: Callable[[str], None],
    ) -> None:
        self.realm = realm.rstrip("/") or REALM
        self.bucket = bucket
        self._key_id = key_id
        self._key = key
        self.transport = Transport(network=network, timeout_s=timeout_s, count_call=count_call)
        self._session = _Session(self.transport)
        self._lock = threading.Lock()
        self._signed_in = False
        self._bucket_id = ""

    def close(self) -> None:
        self.transport.close()

    @property
    def min_part_bytes(self) -> int:
        if not self._signed_in:
            return MIN_PART_BYTES
        with self.session() as session:
            return int(session.account_info.get_absolute_minimum_part_size())

    @property
    def allowed(self) -> Allowed:
        with self.session():
            try:
                return msgspec.convert(self._session.account_info.get_allowed(), Allowed)
            except msgspec.ValidationError as error:
                raise errors.undocumented() from error

    @property
    def account_id(self) -> str:
        with self.session():
            return str(self._session.account_info.get_account_id())

    @contextmanager
    def session(self, calls: Calls | None = None) -> Iterator[Any]:
        """The SDK's session, signed in. Its errors are raised as ProviderError; its requests belong to `calls`."""
        try:
            with errors.as_documented(), self.transport.within(calls or Calls()):
                self._sign_in()
                yield self._session
        except B2Error as error:
            raise errors.from_sdk(error) from None

    def _sign_in(self) -> None:
        if self._signed_in:
            return
        if not self._key_id or not self._key:
            missing = "application_key" if self._key_id else "application_key_id"
            raise InvalidConfiguration(
                f"{missing}: is missing", field=missing, remedies=(Remedy(Action.SET_CREDENTIALS),)
            )
        with self._locked():
            if not self._signed_in:
                try:
                    self._session.authorize_account(self.realm, self._key_id, self._key.reveal())
                except (AssertionError, AttributeError, KeyError, TypeError, ValueError):
                    raise errors.not_b2(200, {}) from None
                self._signed_in = True

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Holds the lock. Waiting for it can be cancelled."""
        token = active_token()
        while not self._lock.acquire(timeout=_LOOK_S):
            if token is not None:
                token.check()
        try:
            yield
        finally:
            self._lock.release()

    @property
    def bucket_id(self) -> str:
        """Raises NotFound if the key sees no such bucket."""
        if not self._bucket_id:
            if not self.bucket:
                raise InvalidConfiguration("container: the bucket name is missing", field="container")
            self._bucket_id = self._find(self.bucket)
        return self._bucket_id

    def _find(self, name: str) -> str:
        with self.session() as session:
            allowed = self.allowed
            if allowed.buckets:
                found = [bucket.id for bucket in allowed.buckets if bucket.name == name]
                if not found:
                    raise _limited(allowed, name)
            else:
                answer = session.list_buckets(session.account_info.get_account_id(), bucket_name=name)
                found = [str(bucket["bucketId"]) for bucket in answer["buckets"] if bucket["bucketName"] == name]
        if not found:
            raise NotFound(
                f"the bucket {name} does not exist in this account",
                hint="Check the name in container, or create the bucket.",
                code="bad_bucket_id",
            )
        return found[0]

    def bucket_names(self) -> list[str]:
        """Buckets that the key sees. No call for a key limited to some buckets."""
        with self.session() as session:
            if limited_to := self.allowed.buckets:
                return [bucket.name for bucket in limited_to if bucket.name]
            answer = session.list_buckets(session.account_info.get_account_id())
            return [str(bucket["bucketName"]) for bucket in answer["buckets"]]

    def create_bucket(self, name: str) -> None:
        """Raises PermissionDenied, without a request, if the key lacks the capability."""
        with self.session() as session:
            allowed = self.allowed
            if allowed.buckets:
                raise _limited(allowed, name)
            if _CREATES not in allowed.capabilities:
                raise PermissionDenied(
                    f"this key may not create buckets: it lacks {_CREATES}",
                    hint=f"Create {name} in the B2 console, or use a key that has {_CREATES}.",
                    code="unauthorized",
                )
            session.create_bucket(session.account_info.get_account_id(), name, "allPrivate")

    def head(self, name: str, calls: Calls | None = None) -> dict[str, str]:
        """The headers of a file's newest version."""
        with self.session(calls) as session:
            found: dict[str, str] = session.get_file_info_by_name(self.bucket, name)
        if "x-bz-file-id" not in found:
            raise errors.not_b2(200, found)
        return found

    def open(self, name: str, span: tuple[int, int] | None, calls: Calls) -> HttpAnswer:
        """Bytes of a file as they arrive: the inclusive range `span`, or all for None. The caller closes the answer."""
        with self.session(calls) as session:
            url = session.get_download_url_by_name(self.bucket, name)
            with session.download_file_from_url(url, range_=span) as response:
                answer: HttpAnswer = response.answer
                return answer

    def size_of(self, name: str, key: str, head: Mapping[str, str]) -> int | None:
        """The size of a file from its HEAD; if a proxy dropped it there, from the answer to a GET. None if neither
        has it."""
        length = content_length(head)
        if length is not None:
            return length
        try:
            answer = self.open(name, (0, 0), Calls())
            answer.close()
            size_bytes = whole_size(answer.status, answer.headers)
        except Integrity:  # the file is empty
            size_bytes = None
        if size_bytes is None:
            answer = self.open(name, None, Calls())
            answer.close()
            size_bytes = content_length(answer.headers)
        if answer.headers.get("x-bz-file-id") != head.get("x-bz-file-id"):
            raise Conflict(f"{key}: changed while it was looked at")
        return size_bytes


def _limited(allowed: Allowed, name: str) -> PermissionDenied:
    """The key is valid for other buckets; it cannot tell whether this one exists."""
    names = allowed.bucket_names
    return PermissionDenied(
        f"this key is limited to {names} and may not use {name}",
        hint=f"Set container to {names}, or use a key for {name} or for all buckets.",
        code="limited",
    )
