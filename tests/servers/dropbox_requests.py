"""Predicates for requests of the Dropbox API, as `when` for the fault proxy."""

from __future__ import annotations

import json
from typing import Any

from providers.testing.faults import SeenRequest, When

_TRIALS = ".homeserver-backup-probe-learn-"
"""Prefix of the probe by which the provider tests what Dropbox enforces; not counted as a transfer."""


def route(*names: str) -> When:
    paths = {f"/2/{name}" for name in names}
    return lambda request: request.path in paths


def arguments(request: SeenRequest) -> dict[str, Any]:
    """Arguments of a request with content; {} for others."""
    found: dict[str, Any] = json.loads(request.headers.get("dropbox-api-arg", "{}"))
    return found


def upload(request: SeenRequest) -> bool:
    """A file in one request."""
    return request.path == "/2/files/upload" and _TRIALS not in str(arguments(request).get("path"))


def append(part_bytes: int, index: int | None = None) -> When:
    """A part of an upload session, counted from 0; not a request for the offset or one that closes the session."""

    def when(request: SeenRequest) -> bool:
        if request.path != "/2/files/upload_session/append_v2" or not request.declared_bytes:
            return False
        return index is None or arguments(request)["cursor"]["offset"] // part_bytes == index

    return when


start = route("files/upload_session/start")
finish = route("files/upload_session/finish")
download = route("files/download")
listing = route("files/list_folder", "files/list_folder/continue")
delete = route("files/delete_v2")
refresh: When = lambda request: request.path == "/oauth2/token"  # noqa: E731 - one of a row of predicates
