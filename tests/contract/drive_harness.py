"""Google Drive: our own server (checked with rclone) behind a fault proxy."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

from providers import errors
from providers.contract.capabilities import Capabilities, Proof
from providers.testing.fault_proxy import FaultProxy
from providers.testing.faults import SeenRequest, When
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
from tests.servers import drive_errors
from tests.servers.drive_oauth import CLIENT_ID, CLIENT_SECRET, REFRESH_TOKEN
from tests.servers.drive_server import DriveServer
from tests.servers.drive_store import Item

GRAIN: Final = 256 * 1024
PART: Final = 2 * GRAIN
"""The last grain of a file waits for the commit: of a part of two grains, one is sent before."""
CONTAINER: Final = "backups/server1"
FILES: Final = "/drive/v3/files"
UPLOADS: Final = "/upload/drive/v3/files"
_CHUNK: Final = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


@dataclass
class DriveRoot(Connections):
    server: DriveServer | None = None

    @property
    def drive(self) -> DriveServer:
        assert self.server is not None
        return self.server

    def _walk(self) -> Iterator[tuple[str, Item]]:
        return self.drive.store.walk(self.drive.store.folder(CONTAINER))

    def stored(self) -> dict[str, bytes]:
        """Several files of one name show as several objects."""
        found: dict[str, bytes] = {}
        for path, item in self._walk():
            found[f"{path} and again {item.id}" if path in found else path] = item.data
        return found

    def plant(self, objects: Mapping[str, bytes]) -> None:
        there = dict(self._walk())
        for key, data in objects.items():
            if key in there:
                self.drive.store.update(there[key].id, {}, data)
                continue
            folder, _, name = f"{CONTAINER}/{key}".rpartition("/")
            self.drive.store.create({"name": name, "parents": [self.drive.store.folder(folder)]}, data)

    def make_folder(self, key: str) -> None:
        self.drive.store.folder(f"{CONTAINER}/{key}")

    def leftovers(self) -> list[str]:
        return [str(session.metadata.get("name", session.file_id)) for session in self.drive.store.unfinished()]

    def expire(self) -> None:
        self.drive.store.expire()

    def other_container(self) -> dict[str, str]:
        self.drive.store.folder("elsewhere")
        return {"container": "elsewhere"}

    def damage(self, key: str) -> None:
        self.drive.store.damage(dict(self._walk())[key])


@contextmanager
def _opened(fixture: FixtureValue, tmp: Path) -> Iterator[Root]:
    with DriveServer() as server, FaultProxy(server.port) as proxy:
        server.store.folder(CONTAINER)
        values = {
            "endpoint_url": proxy.url,
            "container": CONTAINER,
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
            "refresh_token": REFRESH_TOKEN,
            "upload_chunk_size": PART,
            "timeout": 20,
        }
        root = DriveRoot("google_drive", values, tmp, proxy, (CLIENT_SECRET, REFRESH_TOKEN, "ya29."), server=server)
        try:
            yield cast(Root, root)
        finally:
            root.close()


def _chunk(request: SeenRequest) -> tuple[int, int, int] | None:
    """First byte, last byte and total of a request that carries session content."""
    found = _CHUNK.fullmatch(request.headers.get("content-range", ""))
    return (int(found[1]), int(found[2]), int(found[3])) if found and request.method == "PUT" else None


def send_part(index: int | None) -> When:
    """Requests that carry bytes of that part, except the one that ends the session, unless it is the only one."""

    def fits(request: SeenRequest) -> bool:
        chunk = _chunk(request)
        if chunk is None or (commit(request) and chunk[0] % PART):
            return False
        return index is None or chunk[0] // PART == index

    return fits


def begin(request: SeenRequest) -> bool:
    return request.query.get("uploadType") == "resumable" and request.method in ("POST", "PATCH")


def send_whole(request: SeenRequest) -> bool:
    return request.query.get("uploadType") == "multipart"


def commit(request: SeenRequest) -> bool:
    chunk = _chunk(request)
    return chunk is not None and chunk[1] + 1 == chunk[2]


def read(request: SeenRequest) -> bool:
    return request.query.get("alt") == "media"


def listing(request: SeenRequest) -> bool:
    """A request for a page of a folder; not a search for one name."""
    query = request.query.get("q", "")
    return request.method == "GET" and request.path == FILES and not query.startswith("name = ")


def remove(request: SeenRequest) -> bool:
    """A request that moves to the bin or deletes permanently."""
    one = request.path.startswith(f"{FILES}/")
    return one and request.method in ("DELETE", "PATCH")


WIRE = Wire(
    begin=begin, send_part=send_part, send_whole=send_whole, commit=commit, read=read, listing=listing, remove=remove
)


ANSWERS: tuple[Answered, ...] = (
    ("401", errors.Authentication, drive_errors.invalid_credentials(), "authorize"),
    ("401 without words", errors.Authentication, drive_errors.unauthorized_without_words(), ""),
    ("revoked", errors.Authentication, drive_errors.revoked(), "testing"),
    ("unknown client", errors.Authentication, drive_errors.unknown_client(), "client_id"),
    ("403", errors.PermissionDenied, drive_errors.insufficient_permissions(), ""),
    ("403 without words", errors.PermissionDenied, drive_errors.forbidden_without_words(), ""),
    ("file of another app", errors.PermissionDenied, drive_errors.app_not_authorized(), "drive.file"),
    ("api switched off", errors.PermissionDenied, drive_errors.api_switched_off(), "switch on"),
    ("scope", errors.PermissionDenied, drive_errors.scope_insufficient(), "authorize"),
    ("404", errors.NotFound, drive_errors.not_found(), ""),
    ("409", errors.Conflict, drive_errors.conflict(), ""),
    ("412", errors.Conflict, drive_errors.precondition_failed(), ""),
    ("quota", errors.QuotaExceeded, drive_errors.storage_quota_exceeded(), "bin"),
    ("no storage", errors.QuotaExceeded, drive_errors.no_storage_of_service_account(), "shared_drive_id"),
    ("daily limit", errors.QuotaExceeded, drive_errors.daily_limit_exceeded(), "midnight"),
    ("rate limit", errors.RateLimited, drive_errors.rate_limit_exceeded(), ""),
    ("rate limit of the user", errors.RateLimited, drive_errors.user_rate_limit_exceeded(), "750 GB"),
    ("download quota", errors.QuotaExceeded, drive_errors.download_quota_exceeded(), "about a day"),
    ("upload quota", errors.QuotaExceeded, drive_errors.upload_quota_exceeded(), "about a day"),
    ("sharing limit", errors.RateLimited, drive_errors.sharing_rate_limit_exceeded(), "about a day"),
    ("429", errors.RateLimited, drive_errors.too_many_requests(retry_after_s=7), ""),
    ("503", errors.RateLimited, drive_errors.service_unavailable(), ""),
    ("500", errors.Transient, drive_errors.backend_error(), ""),
    ("502 page", errors.Transient, drive_errors.bad_gateway(), ""),
    ("login portal", errors.InvalidConfiguration, drive_errors.login_portal(), "portal"),
)
TOO_LARGE: tuple[Answered, ...] = (("413", errors.Unsupported, drive_errors.payload_too_large(), ""),)
TROUBLES = troubles(ANSWERS, on_writing=TOO_LARGE, broken_on=ALL - {Operation.DELETE})

DRIVE = Harness(
    name="google_drive",
    service="google_drive",
    open=_opened,
    capabilities=Capabilities(
        min_part_bytes=GRAIN,
        part_multiple_bytes=GRAIN,
        max_object_bytes=5 * 2**40,
        single_put_bytes=4 << 20,
        max_key_bytes=4096,
        modes=True,
        folder_modes=True,
        create_container=True,
        empty_directories=True,
        real_folders=True,
        list_containers=True,
        server_prefix_search=False,
        keeps_old_versions=True,
    ),
    limits=Limits(
        part_bytes=PART,
        refused_names=frozenset(
            {"absolute", "parent", "inner parent", "dot", "empty segment", "nul", "too long", "empty"}
        ),
        proof_of_one=Proof.MATCHED,
        proof_of_parts=Proof.MATCHED,
        finds_damage_by_part=False,
        lists_unfinished=False,
        keeps_emptied_folders=True,
    ),
    missing_container={"container": "no/such/folder"},
    wrong_credentials={"refresh_token": "1//another-token-must-never-be-shown"},
    troubles=TROUBLES,
    wire=WIRE,
)
