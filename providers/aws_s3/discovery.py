"""Discovery: tests once, with probe objects, which checks an S3 server enforces. Servers differ in this."""

from __future__ import annotations

import base64
import hashlib
import logging
import os
import secrets
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import ClassVar, Final
from urllib.parse import unquote, unquote_plus
from xml.sax.saxutils import escape

import msgspec

from providers.aws_s3 import etags
from providers.aws_s3.client import EMPTY_SHA256, Extra, S3Client, S3Request
from providers.aws_s3.errors import S3Reply
from providers.aws_s3.multipart import begin_multipart, part_tag
from providers.contract.context import Facts
from providers.contract.digests import composite
from providers.contract.report import PROBE_PREFIX
from providers.errors import Conflict, Integrity, NotFound, ProviderError
from providers.http.connections import Calls

_LONGEST_S: Final = 3600.0
"""A probe noted longer ago than this is over, even if its process id exists (it may have been reused)."""
_LOG: Final = logging.getLogger(__name__)
_SIGNS: Final = "a+b"
"""With the blank in front: characters that a url-encoded listing spells differently and a plain one can carry."""
ENCODED: Final = {"encoding-type": "url"}
_BODY: Final = b"homeserver-backup asks what this server checks\n"


class KeySpelling(StrEnum):
    """Spelling of keys in a listing requested with encoding-type=url."""

    UNKNOWN = "unknown"
    """Each listing says so itself."""
    AS_THEY_ARE = "as they are"
    FORM = "form"
    """As in HTML forms: '+' means a blank."""
    PERCENT = "percent"
    """Percent-encoded; '+' means itself."""

    @classmethod
    def seen(cls, key: str, listed: Collection[str]) -> KeySpelling | None:
        """The spelling under which `key`, which contains a blank and a '+', is in a listing; None if it is missing."""
        return next((each for each in cls if each is not cls.UNKNOWN and key in map(each.read, listed)), None)

    def read(self, text: str) -> str:
        if self is KeySpelling.FORM:
            return unquote_plus(text)
        return unquote(text) if self is KeySpelling.PERCENT else text


class ServerFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Facts about a server. The defaults apply before `learn` and assume that the server enforces nothing."""

    takes_md5: bool = True
    """An object with a correct Content-MD5 is accepted."""
    md5_enforced: bool = False
    """A wrong Content-MD5 is refused."""
    sha256_enforced: bool = False
    """A wrong x-amz-content-sha256 is refused."""
    checksum_enforced: bool = False
    """A wrong x-amz-checksum-sha256 is refused, and a correct one is returned in the answer."""
    conditional: bool = False
    """If-None-Match is honoured by PutObject and by CompleteMultipartUpload."""
    etag_is_md5: bool = True
    etag_repeats_md5: bool = False
    """The ETag repeats Content-MD5, whatever the body was."""
    composite_is_md5: bool = True
    """The ETag of a multipart upload is the MD5 of its parts' MD5s."""
    versioned: bool = False
    listed_keys: KeySpelling = KeySpelling.UNKNOWN
    """Only a url-encoded listing can carry every key."""
    keeps_folders: bool = True
    """An object whose key ends in '/' stays a folder; some servers turn it into a file."""

    @property
    def repeated_checksums(self) -> frozenset[str]:
        """Checksums that an answer may merely repeat from the request."""
        sha256 = not (self.checksum_enforced or self.sha256_enforced)
        return frozenset(name for name, yes in (("md5", self.etag_repeats_md5), ("sha256", sha256)) if yes)


NOTHING_KNOWN: Final = ServerFacts()


def try_out(wire: S3Client, prefix: str, probes: Probes) -> ServerFacts:
    """Test a server with one random key below `prefix` and delete it afterwards. Raises ProviderError on failure."""
    key = f"{prefix}{PROBE_PREFIX}learn {_SIGNS}-{secrets.token_hex(8)}"
    with probes.noted(key):
        learner = _Learner(wire, key)
        try:
            return learner.learn()
        finally:
            if learner.clean:
                probes.forget(key)


def sweep(wire: S3Client, probes: Probes) -> None:
    """Delete the probe objects of killed processes. Those that cannot be deleted now are kept for the next time."""
    for key in probes.left_over():
        learner = _Learner(wire, key)
        learner.remove()
        if learner.clean:
            probes.forget(key)


class _Learner:
    def __init__(self, wire: S3Client, key: str) -> None:
        self._wire = wire
        self._calls = Calls()
        self._key = key
        self._folder = f"{key}-folder/"
        self.clean = False
        """True once nothing of the probe is left at the service."""
        self._md5 = hashlib.md5(_BODY, usedforsecurity=False).digest()
        self._sha256 = hashlib.sha256(_BODY).digest()

    def learn(self) -> ServerFacts:
        try:
            found = self._try_all()
        except ProviderError:
            self.remove()
            raise
        self.clean = self._delete_all()
        return found

    def remove(self) -> None:
        """Delete what an interrupted probe left behind. Does not raise: `clean` has the result."""
        aborted = self._abort_unfinished()
        self.clean = self._delete_all() and aborted

    def _delete_all(self) -> bool:
        keys = (self._key, self._folder, self._folder.rstrip("/"))
        failed = [key for key in keys if not self._quietly(S3Request("DeleteObject", "DELETE", key))]
        return not failed

    def _try_all(self) -> ServerFacts:
        with_md5 = self._accepts({"content-md5": _base64(self._md5)})
        plain = with_md5 or self._put()
        conditional = self._refuses({"if-none-match": "*"}, Conflict)
        completed, composite_etag = self._multipart(conditional)
        wrong = b"\0" * 32
        checked = self._accepts({"x-amz-checksum-sha256": _base64(self._sha256)})
        spelling, folders = self._listed()
        md5_enforced = with_md5 is not None and self._refuses({"content-md5": _base64(wrong[:16])}, Integrity)
        repeated = not md5_enforced and self._etag() == wrong[:16].hex()
        returned = bool(checked and checked.headers.get("x-amz-checksum-sha256") == _base64(self._sha256))
        return ServerFacts(
            takes_md5=with_md5 is not None,
            md5_enforced=md5_enforced,
            etag_repeats_md5=repeated,
            sha256_enforced=self._refuses({}, Integrity, sha256=EMPTY_SHA256),
            checksum_enforced=returned and self._refuses({"x-amz-checksum-sha256": _base64(wrong)}, Integrity),
            conditional=conditional and completed,
            etag_is_md5=etags.parse(plain.headers.get("etag", "")).md5 == self._md5.hex(),
            composite_is_md5=composite_etag == composite("md5", [self._md5.hex()]),
            versioned=self._versioned(),
            listed_keys=spelling,
            keeps_folders=folders,
        )

    def _put(self, headers: dict[str, str] | None = None, sha256: str = "") -> S3Reply:
        request = S3Request("PutObject", "PUT", self._key, headers=headers, body=_BODY, sha256=sha256)
        return self._wire.ask(request, self._calls)

    def _accepts(self, headers: dict[str, str]) -> S3Reply | None:
        try:
            return self._put(headers)
        except ProviderError as error:
            _raise_if_unrelated(error)
            return None

    def _etag(self) -> str:
        """MD5 from the ETag of the object that is now under the key."""
        return etags.parse(
            self._wire.ask(S3Request("HeadObject", "HEAD", self._key), self._calls).headers.get("etag", "")
        ).md5

    def _refuses(self, headers: dict[str, str], how: type[ProviderError], sha256: str = "") -> bool:
        """True if the server refuses with an error of type `how`. Not knowing the header does not count."""
        try:
            self._put(headers, sha256)
        except ProviderError as error:
            _raise_if_unrelated(error)
            return isinstance(error, how) or (how is Integrity and type(error) is ProviderError)
        return False

    def _multipart(self, conditional: bool) -> tuple[bool, str]:
        """Whether a conditional completion over an existing object is refused, and the ETag of a one-part upload."""
        upload_id = begin_multipart(self._wire, self._key, {}, self._calls)
        query = {"partNumber": "1", "uploadId": upload_id}
        sent = self._wire.ask(S3Request("UploadPart", "PUT", self._key, query=query, body=_BODY), self._calls)
        refused = False
        if conditional:
            try:
                done = self._complete(upload_id, sent, {"if-none-match": "*"})
            except ProviderError as error:
                _raise_if_unrelated(error)
                refused = isinstance(error, Conflict)
                done = self._complete(upload_id, sent, {})
        else:
            done = self._complete(upload_id, sent, {})
        return refused, etags.parse(done.xml("CompleteMultipartUploadResult").findtext("ETag") or "").composite

    def _complete(self, upload_id: str, sent: S3Reply, headers: dict[str, str]) -> S3Reply:
        etag = part_tag(sent.headers, "the probe")
        part = f"<Part><PartNumber>1</PartNumber><ETag>{escape(etag)}</ETag></Part>"
        body = f"<CompleteMultipartUpload>{part}</CompleteMultipartUpload>".encode()
        request = S3Request(
            "CompleteMultipartUpload", "POST", self._key, query={"uploadId": upload_id}, headers=headers, body=body
        )
        return self._wire.ask(request, self._calls)

    def _listed(self) -> tuple[KeySpelling, bool]:
        """The spelling of keys in a listing, and whether the listing shows a folder as a folder."""
        try:
            self._wire.ask(S3Request("PutObject", "PUT", self._folder), self._calls)
        except ProviderError as error:
            _raise_if_unrelated(error)
        query = {"list-type": "2", "prefix": self._key}
        try:
            answer = Extra().ask(
                ENCODED,
                lambda more: self._wire.ask(S3Request("ListObjectsV2", "GET", query={**query, **more}), self._calls),
            )
            root = answer.xml("ListBucketResult")
        except ProviderError as error:
            if error.retryable:
                raise
            _LOG.info("cannot tell how the server spells names in listings: %s", error)
            return KeySpelling.UNKNOWN, False
        listed = [item.findtext("Key") or "" for item in root.iterfind("Contents")]
        spelling = KeySpelling.seen(self._key, listed)
        if spelling is None:
            _LOG.warning("an object that was just stored is not in the listing of its name: %.300r", listed)
            return KeySpelling.UNKNOWN, False
        return spelling, self._folder in map(spelling.read, listed)

    def _versioned(self) -> bool:
        try:
            answer = self._wire.ask(S3Request("GetBucketVersioning", "GET", query={"versioning": ""}), self._calls)
            return answer.xml("VersioningConfiguration").findtext("Status") in {"Enabled", "Suspended"}
        except ProviderError as error:  # needs a permission of its own, which backup keys may lack
            _LOG.info("cannot tell whether the bucket keeps versions: %s", error)
            return False

    def _abort_unfinished(self) -> bool:
        """Also aborts an upload whose id was lost with its answer."""
        query = {"uploads": "", "prefix": self._key}
        try:
            found = self._wire.ask(S3Request("ListMultipartUploads", "GET", query=query), self._calls).xml(
                "ListMultipartUploadsResult"
            )
        except ProviderError as error:
            _LOG.info("cannot list unfinished uploads of the probe: %s", error)
            return isinstance(error, NotFound)  # rclone's answer if there are none
        uploads = [item for item in found.iterfind("Upload") if item.findtext("Key") == self._key]  # no other key
        ids = [item.findtext("UploadId") or "" for item in uploads]
        requests = [S3Request("AbortMultipartUpload", "DELETE", self._key, query={"uploadId": id}) for id in ids]
        failed = [request for request in requests if not self._quietly(request)]
        return not failed

    def _quietly(self, request: S3Request) -> bool:
        try:
            self._wire.ask(request, self._calls)
        except NotFound:
            return True
        except ProviderError as error:
            _LOG.warning("the probe %s could not be removed: %s", self._key, error)
            return False
        return True


def _raise_if_unrelated(error: ProviderError) -> None:
    """Re-raise errors that do not concern the tested header: network, keys, bucket."""
    if not (isinstance(error, Conflict | Integrity) or type(error) is ProviderError or error.kind == "unsupported"):
        raise error


def _base64(digest: bytes) -> str:
    return base64.b64encode(digest).decode("ascii")


def recalled(fact: dict[str, object] | None) -> ServerFacts | None:
    """The remembered facts; None if there are none, or if this version cannot read them."""
    try:
        return None if fact is None else msgspec.convert(fact, ServerFacts)
    except msgspec.ValidationError:
        return None


class _Note(msgspec.Struct, frozen=True):
    process: int
    noted_at: float


class _Notes(msgspec.Struct, frozen=True):
    by_key: dict[str, _Note] = {}


class Probes:
    """Notes of the probe objects in one bucket."""

    _under_way: ClassVar[set[str]] = set()
    """Keys of all instances in this process."""
    _lock: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, facts: Facts, bucket: str, now: Callable[[], float]) -> None:
        self._facts = facts
        self._fact = f"{bucket} probes"
        self._now = now

    @contextmanager
    def noted(self, key: str) -> Iterator[None]:
        """The key counts as in use inside the context, and stays noted until it is forgotten."""
        with self._lock:
            self._under_way.add(key)
            self._write({**self._read(), key: _Note(os.getpid(), self._now())})
        try:
            yield
        finally:
            with self._lock:
                self._under_way.discard(key)

    def forget(self, key: str) -> None:
        with self._lock:
            self._write({known: note for known, note in self._read().items() if known != key})

    def left_over(self) -> list[str]:
        """Keys of interrupted probes."""
        with self._lock:
            return [key for key, note in self._read().items() if key not in self._under_way and self._is_over(note)]

    def _is_over(self, note: _Note) -> bool:
        if self._now() - note.noted_at > _LONGEST_S or note.process == os.getpid():
            return True
        try:
            os.kill(note.process, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        return False

    def _read(self) -> dict[str, _Note]:
        found = self._facts.recall(self._fact)
        try:
            return {} if found is None else msgspec.convert(found, _Notes).by_key
        except msgspec.ValidationError:
            return {}

    def _write(self, notes: dict[str, _Note]) -> None:
        self._facts.remember(self._fact, msgspec.to_builtins(_Notes(notes)))
