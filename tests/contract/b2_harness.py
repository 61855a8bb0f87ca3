"""Backblaze B2: the SDK's simulator over HTTP, behind a fault proxy, with a key limited to its bucket."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from providers import errors
from providers.contract.capabilities import Capabilities, Proof
from providers.testing.fault_proxy import FaultProxy
from providers.testing.faults import When
from providers.testing.harness import (
    ALL,
    Answered,
    Connections,
    FixtureValue,
    Harness,
    Limits,
    Operation,
    Root,
    Trouble,
    Wire,
    troubles,
)
from tests.servers import b2_errors, b2_requests
from tests.servers.b2 import B2Server
from tests.servers.b2_simulator import MIN_PART_BYTES, NEVER_SHOWN

REFUSED_NAMES = frozenset(
    {
        "absolute", "parent", "inner parent", "dot", "empty segment", "nul", "empty", "too long", "long segment",
        "backslash", "newline", "escape", "del",
    }
)  # fmt: skip


@dataclass
class B2Root(Connections):
    server: B2Server | None = None
    bucket: str = ""

    @property
    def b2(self) -> B2Server:
        assert self.server is not None
        return self.server

    def stored(self) -> dict[str, bytes]:
        return self.b2.objects(self.bucket)

    def plant(self, objects: Mapping[str, bytes]) -> None:
        self.b2.plant(self.bucket, objects)

    def leftovers(self) -> list[str]:
        return self.b2.unfinished(self.bucket)

    def expire(self) -> None:
        self.b2.forget_uploads(self.bucket)

    def other_container(self) -> dict[str, str]:
        bucket, key = self.b2.new_bucket()
        return {"container": bucket, "application_key_id": key.key_id, "application_key": key.key}

    def damage(self, key: str) -> None:
        self.b2.damage(self.bucket, key)


@contextmanager
def b2_root(server: B2Server, tmp: Path, **settings: object) -> Iterator[B2Root]:
    bucket, key = server.new_bucket()
    with FaultProxy(server.port) as proxy:
        values = {
            "realm": proxy.url,
            "container": bucket,
            "application_key_id": key.key_id,
            "application_key": key.key,
            "upload_chunk_size": MIN_PART_BYTES,
            "timeout": 20,
            **settings,
        }
        root = B2Root("backblaze", values, tmp, proxy, (key.key, NEVER_SHOWN), server=server, bucket=bucket)
        try:
            yield root
        finally:
            root.close()


@contextmanager
def _open(fixture: FixtureValue, tmp: Path) -> Iterator[Root]:
    with b2_root(fixture("b2_server"), tmp) as root:
        yield cast(Root, root)


def _part(index: int | None) -> When:
    return b2_requests.upload_part(None if index is None else index + 1)


WIRE = Wire(
    begin=b2_requests.call("b2_start_large_file"),
    send_part=_part,
    send_whole=b2_requests.upload_file(),
    commit=b2_requests.call("b2_finish_large_file"),
    read=b2_requests.download(),
    listing=b2_requests.listing(),
    remove=b2_requests.remove(),
)


@contextmanager
def _right_missing(root: Root) -> Iterator[None]:
    rule = root.wired.fault(b2_errors.unauthorized(), when=b2_requests.after_sign_in(), times=None)
    try:
        yield
    finally:
        rule.release()


ANSWERS: tuple[Answered, ...] = (
    ("expired token", errors.Authentication, b2_errors.expired_auth_token(), "application_key"),
    ("bad token", errors.Authentication, b2_errors.bad_auth_token(), "application_key"),
    ("403", errors.PermissionDenied, b2_errors.access_denied(), ""),
    ("403 without words", errors.PermissionDenied, b2_errors.forbidden_without_words(), ""),
    ("404", errors.NotFound, b2_errors.not_found(), ""),
    ("no bucket", errors.NotFound, b2_errors.bad_bucket_id(), "container"),
    ("409", errors.Conflict, b2_errors.conflict(), ""),
    ("412", errors.Conflict, b2_errors.precondition_failed(), ""),
    ("storage cap", errors.QuotaExceeded, b2_errors.storage_cap_exceeded(), "caps"),
    ("transaction cap", errors.QuotaExceeded, b2_errors.transaction_cap_exceeded(), "caps"),
    ("download cap", errors.QuotaExceeded, b2_errors.download_cap_exceeded(), "caps"),
    ("429", errors.RateLimited, b2_errors.too_many_requests(retry_after_s=7), ""),
    ("503", errors.RateLimited, b2_errors.service_unavailable(), ""),
    ("408", errors.Transient, b2_errors.request_timeout(), ""),
    ("500", errors.Transient, b2_errors.internal_error(), ""),
    ("502 page", errors.Transient, b2_errors.bad_gateway(), ""),
    ("portal", errors.InvalidConfiguration, b2_errors.portal(), "realm"),
)
TOO_LARGE: tuple[Answered, ...] = (("413", errors.Unsupported, b2_errors.payload_too_large(), ""),)
TROUBLES = (
    *troubles(ANSWERS, on_writing=TOO_LARGE, broken_on=ALL - {Operation.DELETE}),
    Trouble("right missing", errors.PermissionDenied, _right_missing, says="key"),
)

B2 = Harness(
    name="backblaze",
    service="backblaze",
    open=_open,
    capabilities=Capabilities(
        parallel_parts=True,
        min_part_bytes=MIN_PART_BYTES,
        max_part_bytes=5_000_000_000,
        max_parts=10_000,
        max_object_bytes=10_000_000_000_000,
        single_put_bytes=5_000_000_000,
        part_digests=("sha1",),
        repeated_checksums=frozenset({"sha1"}),
        whole_digests=("sha1",),
        digests_first=True,
        modes=True,
        create_container=True,
        list_containers=True,
        keeps_old_versions=True,
    ),
    limits=Limits(
        part_bytes=MIN_PART_BYTES,
        refused_names=REFUSED_NAMES,
        proof_of_one=Proof.ENFORCED,
        proof_of_parts=Proof.ENFORCED,
        learnt={"enforced_checksums": frozenset({"sha1"}), "repeated_checksums": frozenset()},
        tells_missing=errors.PermissionDenied,  # the key belongs to another bucket
    ),
    wrong_credentials={"application_key": "K003ANOTHERKEY-must-not-be-seen"},
    missing_container={"container": "no-such-bucket-anywhere"},
    troubles=TROUBLES,
    wire=WIRE,
)
