"""The S3 service: AWS and S3-compatible servers."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, ClassVar, Final, cast

import msgspec

from providers.aws_s3 import buckets, etags, objects, unfinished
from providers.aws_s3.client import Endpoint, Extra, S3Client, S3Request, may_refuse_header
from providers.aws_s3.credentials import KeySource
from providers.aws_s3.discovery import (
    ENCODED,
    NOTHING_KNOWN,
    KeySpelling,
    Probes,
    ServerFacts,
    recalled,
    sweep,
    try_out,
)
from providers.aws_s3.errors import S3Reply, not_s3
from providers.aws_s3.multipart import no_etag
from providers.aws_s3.reader import WITH_CHECKSUMS, ObjectRange, Tolerance, part_size_of, size_of
from providers.aws_s3.removal import BATCH, fits_xml, remove_batch
from providers.aws_s3.settings import Settings, aws_url, normal_prefix
from providers.aws_s3.uploads import MultipartUpload, S3SingleUpload
from providers.base import BaseProvider, RangeReader
from providers.contract.aged_facts import AgedFact
from providers.contract.capabilities import Capabilities
from providers.contract.context import ProviderContext
from providers.contract.objects import Page, RemoteFile
from providers.contract.upload import PendingUpload, UploadRequest, UploadSession
from providers.errors import (
    Conflict,
    InvalidConfiguration,
    InvalidName,
    NotFound,
    PermissionDenied,
    ProviderError,
    Unsupported,
)
from providers.http.addresses import aws_partition, normal_address
from providers.http.connections import Calls, checked_address
from providers.http.listed_size import listed_size
from providers.http.network import CA_VARIABLES, Network
from providers.settings import ProviderSettings

_LOG: Final = logging.getLogger(__name__)
_MIB: Final = 1 << 20
_SINGLE_BYTES: Final = 8 * _MIB


class S3Provider(BaseProvider):
    """Stores objects in a bucket, optionally below a prefix.

    Small objects take one request, larger ones a multipart upload. The checksums and conditions that the server
    enforces are tested once and remembered. The mtime is stored as rclone does (metadata `mtime`), and the SHA-256 as
    metadata `sha256` if known in advance. Listings carry no metadata: `modified_at` is the time of storing there, and
    the file's own time in `stat`. A delete does not report whether the object existed.
    """

    name: ClassVar[str] = "aws_s3"
    Settings: ClassVar[type[ProviderSettings]] = Settings

    def __init__(self, config: Mapping[str, Any] | ProviderSettings, *, context: ProviderContext | None = None) -> None:
        super().__init__(config, context=context)
        own = cast(Settings, self.settings)
        self._own = own
        self._network = Network(own, self.context.environment, ("AWS_CA_BUNDLE", *CA_VARIABLES))
        self._keys = KeySource(own, self._network)
        self._prefix = normal_prefix(own.prefix)
        self._endpoint_url = checked_address(own.endpoint_url, "endpoint_url", "Example: https://s3.example.net")
        self._opened: S3Client | None = None
        self._fact = AgedFact(self.context, self._facts_key)
        self._facts: ServerFacts | None = None
        self._facts_of: dict[str, Any] | None = None
        """The remembered value that `_facts` was converted from."""
        self._can: tuple[ServerFacts, Capabilities] | None = None
        self._probes = Probes(self.context.facts, self._facts_key, self.context.now)
        self._tolerance = Tolerance()
        self._encoding, self._checksums = Extra(), Extra()
        self._swept = False
        self._bucket_seen = False
        self._perhaps_removed: set[str] = set()
        """Keys with a delete request that got no answer."""

    @property
    def capabilities(self) -> Capabilities:
        facts = self._known_facts()
        if self._can is None or self._can[0] is not facts:
            self._can = (facts, self._capabilities(facts))
        return self._can[1]

    def _capabilities(self, facts: ServerFacts) -> Capabilities:
        enforced = {"md5": facts.md5_enforced, "sha256": facts.checksum_enforced}
        wants_sha256 = facts.checksum_enforced or (facts.sha256_enforced and not facts.md5_enforced)
        return Capabilities(
            parallel_parts=True,
            min_part_bytes=5 * _MIB,
            max_part_bytes=5 * 2**30,
            max_parts=10_000,
            max_object_bytes=5 * 2**40,
            single_put_bytes=_SINGLE_BYTES,
            max_key_bytes=max(1, objects.MAX_KEY_BYTES - len(self._prefix.encode())),
            conditional_commit=facts.conditional,
            enforced_checksums=frozenset(name for name, yes in enforced.items() if yes),
            repeated_checksums=facts.repeated_checksums,
            part_digests=("md5", "sha256") if wants_sha256 else ("md5",),
            empty_directories=facts.keeps_folders,
            modes=True,
            folder_modes=facts.keeps_folders,
            create_container=True,
            list_containers=True,
            keeps_old_versions=facts.versioned,
        )

    @property
    def location(self) -> str:
        where = self._endpoint_url or f"AWS {self._own.region or 'default region'}"
        prefix = f" prefix={self._prefix}" if self._prefix else ""
        return f"aws_s3 {where} bucket={self._own.container}{prefix} id={self._keys.described}"

    @property
    def place(self) -> str:
        """Without the region, which the user may correct: on AWS a bucket name is unique across regions."""
        where = aws_partition(self._endpoint_url, self._own.region) or normal_address(self._endpoint_url)
        return f"aws_s3 {where} bucket={self._own.container} prefix={self._prefix}"

    @property
    def _wire(self) -> S3Client:
        if self._opened is None:
            if not self._own.container:
                raise InvalidConfiguration("container: the bucket name is missing", field="container")
            region = self._own.region or self._keys.region() or "us-east-1"
            url = self._endpoint_url or aws_url(region)
            virtual = self._own.addressing_style == "virtual" or (
                self._own.addressing_style == "auto" and not self._endpoint_url and "." not in self._own.container
            )
            self._opened = S3Client(
                Endpoint(url, region, self._own.container, virtual),
                self._keys,
                timeout_s=self.settings.timeout,
                network=self._network,
                now=self.context.now,
                count_call=self.context.count_call,
            )
        return self._opened

    # What the server does

    @property
    def _facts_key(self) -> str:
        return f"aws_s3 {self._endpoint_url or 'AWS'} {self._own.container}"

    def _known_facts(self) -> ServerFacts:
        return self._learnt_facts() or NOTHING_KNOWN

    def _learnt_facts(self) -> ServerFacts | None:
        fact = self._fact.recall()
        if fact is not self._facts_of:
            self._facts_of, self._facts = fact, recalled(fact)
        return self._facts

    def learn(self) -> None:
        if not self._swept:
            sweep(self._wire, self._probes)
            self._swept = True
        if self._learnt_facts() is None:
            self._fact.remember(msgspec.to_builtins(try_out(self._wire, self._prefix, self._probes)))
            self._bucket_seen = True

    # Reading

    def scan(self, prefix: str = "", *, delimiter: str = "", token: str | None = None, limit: int = 1000) -> Page:
        query = {
            "list-type": "2",
            "prefix": self._prefix + prefix,
            "max-keys": str(max(1, min(limit, 1000))),
        }
        if delimiter:
            query["delimiter"] = delimiter
        if token:
            query["continuation-token"] = token
        try:
            reply = self._encoding.ask(
                ENCODED,
                lambda more: self._wire.ask(S3Request("ListObjectsV2", "GET", query={**query, **more}), Calls()),
            )
        except UnicodeEncodeError:
            return Page()  # S3 keys are Unicode
        root, troubles = reply.listing("ListBucketResult")
        self._bucket_seen = True
        return objects.page(root, self._prefix, self._known_facts().listed_keys, troubles)

    def stat(self, key: str) -> RemoteFile:
        whole = objects.checked_key(self._prefix, key)
        head = self._head(whole, key).headers
        if not etags.parse(head.get("etag", "")).text:
            raise no_etag(key)
        size_bytes = size_of(self._wire, whole, key, head)
        if size_bytes is None:
            size_bytes = listed_size(self, key, lambda etag: etags.may_be_same(etag, head["etag"]))
        found = objects.from_headers(key, head, self._known_facts(), size_bytes)
        if {"md5-composite", "sha256-composite"} & found.checksums.keys():
            return msgspec.structs.replace(found, part_size_bytes=part_size_of(self._wire, whole, found))
        return found

    def _head(self, whole: str, key: str) -> S3Reply:
        try:
            reply = self._checksums.ask(
                WITH_CHECKSUMS,
                lambda more: self._wire.ask(S3Request("HeadObject", "HEAD", whole, headers=more), Calls()),
            )
        except ProviderError as error:
            raise self._explained(error, key) from error
        if "etag" not in reply.headers and "html" in reply.headers.get("content-type", ""):
            raise not_s3(reply)  # a login portal answers every name with its page
        if "etag" not in reply.headers and not self._bucket_seen:
            self._check_bucket()  # a server that is not S3 fails to list
        return reply

    def _explained(self, error: ProviderError, key: str) -> ProviderError:
        """The cause of a failed HEAD, which has no body. Errors of key or bucket show up in a listing of the bucket."""
        if error.code or isinstance(error, Conflict) or error.retryable:
            return error
        if isinstance(error, NotFound) and self._bucket_seen:
            return NotFound(f"{key}: there is no such object", code="NoSuchKey")
        try:
            self._check_bucket()
        except ProviderError as reason:
            return reason
        if isinstance(error, NotFound):
            return NotFound(f"{key}: there is no such object", code="NoSuchKey")
        if type(error) is ProviderError:  # the bucket is fine, so the server rejects the name
            return InvalidName(f"'{key}': {error.message}")
        return error

    def read_range(self, key: str, offset: int, size_bytes: int, *, etag: str = "") -> RangeReader:
        whole = objects.checked_key(self._prefix, key)
        return ObjectRange(self._wire, whole, key, offset, size_bytes, etag, self._tolerance)

    # Writing

    def check_name(self, key: str) -> None:
        self._new_key(key)

    def _new_key(self, key: str) -> str:
        """The whole key. Raises InvalidName, also for names that this server was seen not to list."""
        whole = objects.checked_new_key(self._prefix, key)
        if self._known_facts().listed_keys is KeySpelling.AS_THEY_ARE and not fits_xml(whole):
            raise InvalidName(
                f"'{key}': this server cannot list such control characters; the whole folder would become unlistable",
                hint="Rename the file, or use a service that encodes names in listings (encoding-type=url).",
            )
        return whole

    def open_upload(self, request: UploadRequest, *, token: dict[str, Any] | None = None) -> UploadSession:
        key = self._new_key(request.key)
        if request.key.endswith("/") and request.size_bytes:
            raise InvalidName(f"'{request.key}': only the name of an empty directory may end in '/'")
        facts = self._known_facts()
        if token is None and request.part_count == 1 and request.size_bytes <= _SINGLE_BYTES:
            return S3SingleUpload(self._wire, key, request, facts, lambda: self.stat(request.key))
        return MultipartUpload(self._wire, key, request, facts, token)

    def pending_uploads(self, key: str) -> list[PendingUpload]:
        whole = objects.checked_key(self._prefix, key)
        return [item for item in unfinished.listed(self._wire, self._prefix, whole) if item.key == key]

    def unfinished_uploads(self) -> list[PendingUpload]:
        return [
            msgspec.structs.replace(
                item, size_bytes=unfinished.held_bytes(self._wire, self._prefix + item.key, item.token)
            )
            for item in unfinished.listed(self._wire, self._prefix, self._prefix)
        ]

    def discard_unfinished(self, upload: PendingUpload) -> None:
        unfinished.abort(self._wire, self._prefix + upload.key, upload.token)

    def remove(self, key: str) -> None:
        whole = objects.checked_key(self._prefix, key)
        try:
            self._head(whole, key)
        except NotFound as error:
            if key not in self._perhaps_removed or error.code == "NoSuchBucket":
                raise
        except PermissionDenied:
            _LOG.debug("these keys may not HEAD; a DELETE does not report whether the object existed")
        self._perhaps_removed.add(key)
        try:
            reply = self._wire.ask(S3Request("DeleteObject", "DELETE", whole), Calls())
            if reply.body.strip():  # S3's answer has no body: this may not be S3
                self._check_gone(whole, key, reply)
        except ProviderError as error:
            if error.retryable:
                raise
            self._perhaps_removed.discard(key)
            raise
        self._perhaps_removed.discard(key)

    def _check_gone(self, whole: str, key: str, reply: S3Reply) -> None:
        try:
            self._head(whole, key)
        except NotFound:
            return
        raise not_s3(reply)

    def remove_many(self, keys: list[str]) -> dict[str, ProviderError]:
        failed: dict[str, ProviderError] = {}
        for start in range(0, len(keys), BATCH):
            batch: dict[str, str] = {}
            for key in keys[start : start + BATCH]:
                try:
                    batch[objects.checked_key(self._prefix, key)] = key
                except InvalidName as error:
                    failed[key] = error
            try:
                results = remove_batch(self._wire, batch)
            except ProviderError as error:
                alone = isinstance(error, Unsupported) or may_refuse_header(error)
                results = {} if alone else dict.fromkeys(batch, error)
            failed |= {batch[whole]: error for whole, error in results.items() if error}
            failed |= self._removed_singly([key for whole, key in batch.items() if whole not in results])
        return failed

    def _removed_singly(self, keys: list[str]) -> dict[str, ProviderError]:
        """Keys that a batch cannot carry or whose result is unknown: the server may have deleted them."""
        self._perhaps_removed.update(keys)
        failed = super().remove_many(keys)
        self._perhaps_removed.difference_update(keys)
        return failed

    # Buckets and checks

    def containers(self) -> list[str]:
        return buckets.names(self._wire)

    def create_container(self, name: str) -> None:
        buckets.create(self._wire, name)

    def check_reach(self) -> str:
        wire = self._wire
        query = {"list-type": "2", "max-keys": "1"}
        server = ""
        try:
            reply = wire.ask(S3Request("ListObjectsV2", "GET", query=query, signed=False), Calls())
            reply.xml("ListBucketResult")
            server = reply.headers.get("server", "")
        except InvalidConfiguration as error:
            if error.field != "region":
                raise
        except ProviderError as error:
            if error.retryable:
                raise
            _LOG.debug("S3 refuses an unsigned request, as expected: %s", error)
        return f"{wire.endpoint.url} answers" + (f" ({server})" if server else "")

    def check_authentication(self) -> str:
        with suppress(PermissionDenied, NotFound):  # the keys are valid; the next step reports the rest
            self._check_bucket()
        return f"signed in with {self._keys.described}"

    def check_container(self) -> str:
        self._check_bucket()
        endpoint = self._wire.endpoint
        return f"bucket {endpoint.bucket} in {endpoint.region}"

    def _check_bucket(self) -> None:
        buckets.check(self._wire, self._prefix)
        self._bucket_seen = True

    def close(self) -> None:
        if self._opened is not None:
            self._opened.close()
