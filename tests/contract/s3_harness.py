"""S3 on two real servers, each behind a fault proxy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from providers import errors
from providers.contract.capabilities import Capabilities, Proof
from providers.testing.fault_proxy import FaultProxy
from providers.testing.harness import (
    ALL,
    Answered,
    Connections,
    FixtureValue,
    Harness,
    Limits,
    Operation,
    Root,
    Wire,
    troubles,
)
from tests.servers import s3_errors
from tests.servers.s3_requests import (
    complete_multipart,
    create_multipart,
    delete_object,
    get_object,
    list_objects,
    put_object,
    put_part,
)
from tests.servers.s3_server import ACCESS_KEY, REGION, SECRET_KEY, S3Server

PART = 5 << 20
_PLANTERS = 4
_FEW = 10


@dataclass
class S3Root(Connections):
    server: S3Server | None = None
    bucket: str = ""

    @property
    def _server(self) -> S3Server:
        assert self.server is not None
        return self.server

    def stored(self) -> dict[str, bytes]:
        return self._server.objects(self.bucket)

    def plant(self, objects: Mapping[str, bytes]) -> None:
        first, rest = list(objects.items())[:_FEW], list(objects.items())[_FEW:]
        for key, data in first:  # rclone fails on two concurrent first objects of one folder
            self._server.put(self.bucket, key, data)
        with ThreadPoolExecutor(_PLANTERS) as pool:
            list(pool.map(lambda item: self._server.put(self.bucket, *item), rest))

    def leftovers(self) -> list[str]:
        return [key for key, _ in self._server.unfinished_uploads(self.bucket)]

    def expire(self) -> None:
        self._server.abort_all(self.bucket)

    def other_container(self) -> dict[str, str]:
        return {"container": self._server.new_bucket()}

    def damage(self, key: str) -> None:
        self._server.damage(self.bucket, key)


def _opener(fixture_name: str) -> object:
    @contextmanager
    def opened(fixture: FixtureValue, tmp: Path) -> Iterator[Root]:
        server: S3Server = fixture(fixture_name)
        bucket = server.new_bucket()
        with FaultProxy(server.port) as proxy:
            values = {
                "endpoint_url": proxy.url,
                "container": bucket,
                "region": REGION,
                "access_key": ACCESS_KEY,
                "secret_key": SECRET_KEY,
                "upload_chunk_size": PART,
                "timeout": 20,
            }
            root = S3Root("aws_s3", values, tmp, proxy, (SECRET_KEY,), server=server, bucket=bucket)
            try:
                yield cast(Root, root)
            finally:
                root.close()

    return opened


def _part(index: int | None) -> object:
    return put_part(None if index is None else index + 1)


WIRE = Wire(
    begin=create_multipart(),
    send_part=_part,  # type: ignore[arg-type]
    send_whole=put_object(),
    commit=complete_multipart(),
    read=get_object(),
    listing=list_objects(),
    remove=delete_object(),
)


ANSWERS: tuple[Answered, ...] = (
    ("401", errors.Authentication, s3_errors.unauthorized(), ""),
    ("unknown key", errors.Authentication, s3_errors.invalid_access_key_id(), ""),
    ("wrong secret", errors.Authentication, s3_errors.signature_does_not_match(), ""),
    ("expired token", errors.Authentication, s3_errors.expired_token(), "expired"),
    ("skewed clock", errors.Authentication, s3_errors.request_time_too_skewed(), "clock"),
    ("403", errors.PermissionDenied, s3_errors.access_denied(), ""),
    ("403 without words", errors.PermissionDenied, s3_errors.forbidden_without_words(), ""),
    ("no bucket", errors.NotFound, s3_errors.no_such_bucket(), ""),
    ("409", errors.Conflict, s3_errors.operation_aborted(), ""),
    ("412", errors.Conflict, s3_errors.precondition_failed(), ""),
    ("quota", errors.QuotaExceeded, s3_errors.quota_exceeded(), ""),
    ("429", errors.RateLimited, s3_errors.too_many_requests(retry_after_s=7), ""),
    ("slow down", errors.RateLimited, s3_errors.slow_down(), ""),
    ("503", errors.RateLimited, s3_errors.service_unavailable(), ""),
    ("500", errors.Transient, s3_errors.internal_error(), ""),
    ("502 page", errors.Transient, s3_errors.bad_gateway(), ""),
    ("wrong region", errors.InvalidConfiguration, s3_errors.authorization_header_malformed(), "eu-central-1"),
    ("moved", errors.InvalidConfiguration, s3_errors.permanent_redirect(), "eu-central-1"),
)
TOO_LARGE: tuple[Answered, ...] = (
    ("too large", errors.Unsupported, s3_errors.entity_too_large(), ""),
    ("413", errors.Unsupported, s3_errors.payload_too_large(), ""),
)
TROUBLES = troubles(ANSWERS, on_writing=TOO_LARGE, broken_on=ALL - {Operation.DELETE})


def _harness(
    name: str, fixture_name: str, limits: Limits, wrong_credentials: Mapping[str, str] | None = None
) -> Harness:
    return Harness(
        name=f"aws_s3 on {name}",
        service="aws_s3",
        open=_opener(fixture_name),  # type: ignore[arg-type]
        capabilities=Capabilities(
            parallel_parts=True,
            min_part_bytes=PART,
            max_part_bytes=5 * 2**30,
            max_parts=10_000,
            max_object_bytes=5 * 2**40,
            single_put_bytes=8 << 20,
            part_digests=("md5",),
            repeated_checksums=frozenset({"sha256"}),
            empty_directories=True,
            modes=True,
            folder_modes=True,
            create_container=True,
            list_containers=True,
        ),
        limits=limits,
        wrong_credentials=wrong_credentials or {},
        missing_container={"container": "no-such-bucket-anywhere"},
        troubles=TROUBLES,
        wire=WIRE,
    )


REFUSED = frozenset({"absolute", "parent", "inner parent", "dot", "empty segment", "nul", "too long", "empty"})

RCLONE = _harness(
    "rclone",
    "rclone_s3",
    Limits(
        part_bytes=PART,
        refused_names=REFUSED,
        broken_names={"long segment": errors.Transient},
        keeps_etag=False,
        learnt={"enforced_checksums": frozenset({"md5"}), "empty_directories": False, "folder_modes": False},
        proof_of_one=Proof.ENFORCED,
        proof_of_parts=Proof.ENFORCED,
    ),
    wrong_credentials={"secret_key": "ANOTHERSECRET-must-never-be-shown"},
)
MOTO = _harness(
    "moto",
    "moto_s3",
    Limits(
        part_bytes=PART,
        refused_names=REFUSED,
        broken_names={"newline": errors.NotFound},
        learnt={"conditional_commit": True},
    ),
)
