"""Dropbox: our own server that speaks its API, behind a fault proxy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from providers import errors
from providers.contract.capabilities import Capabilities, Proof
from providers.dropbox.names import decode_name, encode_name
from providers.testing.fault_proxy import FaultProxy
from providers.testing.faults import Fault
from providers.testing.harness import (
    Answered,
    Connections,
    FixtureValue,
    Harness,
    Limits,
    Root,
    Wire,
    troubles,
)
from tests.servers import dropbox_errors, dropbox_requests
from tests.servers.dropbox_server import ACCOUNT_ID, APP_KEY, REFRESH_TOKEN, DropboxServer

PART = 2 << 20
FOLDER = "Backups"


@dataclass
class DropboxRoot(Connections):
    server: DropboxServer | None = None

    @property
    def _server(self) -> DropboxServer:
        assert self.server is not None
        return self.server

    def stored(self) -> dict[str, bytes]:
        top = f"/{FOLDER}/"
        found = {path: data for path, data in self._server.files().items() if path.startswith(top)}
        return {"/".join(map(decode_name, path[len(top) :].split("/"))): data for path, data in found.items()}

    def plant(self, objects: Mapping[str, bytes]) -> None:
        for key, data in objects.items():
            self._server.put(f"/{FOLDER}/" + "/".join(map(encode_name, key.split("/"))), data)

    def make_folder(self, key: str) -> None:
        self._server.store.make_folder(f"/{FOLDER}/{key}", False)

    def leftovers(self) -> list[str]:
        """Open sessions that hold bytes. Dropbox has no call to remove one; closed or empty ones count against nothing
        and disappear by themselves."""
        store = self._server.store
        return [name for name, found in store.sessions.items() if found.data and store.open_to_more(found)]

    def expire(self) -> None:
        with self._server.store.lock:
            for session in self._server.store.sessions.values():
                session.started_at = 0.0

    def other_container(self) -> dict[str, str]:
        self._server.store.make_folder("/Other", False)
        return {"container": "Other"}

    def damage(self, key: str) -> None:
        node = self._server.store.get(f"/{FOLDER}/{key}")
        assert node.data
        node.data = bytes([node.data[0] ^ 0xFF]) + node.data[1:]


@contextmanager
def _open(fixture: FixtureValue, tmp: Path) -> Iterator[Root]:
    with DropboxServer() as server, FaultProxy(server.port) as proxy:
        server.store.make_folder(f"/{FOLDER}", False)
        values = {
            "endpoint_url": proxy.url,
            "container": FOLDER,
            "app_key": APP_KEY,
            "refresh_token": REFRESH_TOKEN,
            "account_id": ACCOUNT_ID,
            "upload_chunk_size": PART,
            "timeout": 20,
        }
        root = DropboxRoot("dropbox", values, tmp, proxy, (REFRESH_TOKEN, "sl.test-"), server=server)
        try:
            yield cast(Root, root)
        finally:
            root.close()


WIRE = Wire(
    begin=dropbox_requests.start,
    send_part=lambda index: dropbox_requests.append(PART, index),
    send_whole=dropbox_requests.upload,
    commit=dropbox_requests.finish,
    read=dropbox_requests.download,
    listing=dropbox_requests.listing,
    remove=dropbox_requests.delete,
)


ANSWERS: tuple[Answered, ...] = (
    ("401", errors.Authentication, Fault.status(401), ""),
    ("invalid token", errors.Authentication, dropbox_errors.invalid_access_token(), "authoris"),
    ("expired token", errors.Authentication, dropbox_errors.expired_access_token(), ""),
    ("missing scope", errors.PermissionDenied, dropbox_errors.missing_scope(), "files.content.write"),
    ("app lacks scope", errors.PermissionDenied, dropbox_errors.app_lacks_scope(), "files.content.write"),
    ("403", errors.PermissionDenied, dropbox_errors.no_permission(), ""),
    ("403 page", errors.PermissionDenied, dropbox_errors.html_page(403), ""),
    ("no write permission", errors.PermissionDenied, dropbox_errors.refused("path", "no_write_permission"), ""),
    ("restricted", errors.PermissionDenied, dropbox_errors.refused("path", "access_restricted"), ""),
    ("404", errors.NotFound, dropbox_errors.refused("path", "not_found"), ""),
    ("409", errors.Conflict, dropbox_errors.refused("path", "conflict", "folder"), ""),
    ("disallowed name", errors.InvalidName, dropbox_errors.refused("path", "disallowed_name"), ""),
    ("malformed path", errors.InvalidName, dropbox_errors.refused("path", "malformed_path"), ""),
    ("quota", errors.QuotaExceeded, dropbox_errors.refused("path", "insufficient_space"), ""),
    ("team quota", errors.QuotaExceeded, dropbox_errors.refused("path", "member_folder_insufficient_space"), ""),
    ("traffic limit", errors.QuotaExceeded, dropbox_errors.refused("path", "upload_traffic_limit_reached"), ""),
    ("429", errors.RateLimited, dropbox_errors.too_many_requests(), ""),
    ("writes collide", errors.RateLimited, dropbox_errors.too_many_write_operations(), ""),
    ("503", errors.RateLimited, Fault.status(503, retry_after_s=3), ""),
    ("500", errors.Transient, Fault.status(500), ""),
    ("502 page", errors.Transient, dropbox_errors.html_page(502), ""),
)
TOO_LARGE: tuple[Answered, ...] = (
    ("413", errors.Unsupported, dropbox_errors.html_page(413), ""),
    ("too large", errors.Unsupported, dropbox_errors.refused("payload_too_large"), ""),
)
TROUBLES = troubles(ANSWERS, on_writing=TOO_LARGE)

DROPBOX = Harness(
    name="dropbox",
    service="dropbox",
    open=_open,
    capabilities=Capabilities(
        max_part_bytes=128 << 20,
        max_object_bytes=2**41 - 2**22,
        single_put_bytes=4 << 20,
        max_key_bytes=4096,
        conditional_commit=True,
        part_digests=("dropbox_hash",),
        repeated_checksums=frozenset({"dropbox_hash"}),
        whole_digests=("dropbox_hash",),
        create_container=True,
        real_folders=True,
        list_containers=True,
        case_sensitive=False,
        keeps_old_versions=True,
    ),
    limits=Limits(
        part_bytes=PART,
        refused_names=frozenset(
            {
                "nfd", "absolute", "parent", "inner parent", "dot", "empty segment", "nul", "long segment", "too long",
                "empty",
            }
        ),
        proof_of_one=Proof.ENFORCED,
        proof_of_parts=Proof.ENFORCED,
        learnt={"enforced_checksums": frozenset({"dropbox_hash"}), "repeated_checksums": frozenset()},
        lists_unfinished=False,
        mtime_step_ns=1_000_000_000,
        keeps_emptied_folders=True,
    ),
    missing_container={"container": "no-such-folder"},
    wrong_credentials={"refresh_token": "ANOTHERTOKEN-must-never-be-shown"},
    troubles=TROUBLES,
    wire=WIRE,
)  # fmt: skip
