"""Predicates for requests of the S3 API, as `when` for the fault proxy. Path-style addressing: /bucket/key."""

from __future__ import annotations

from urllib.parse import unquote

from providers.testing.faults import SeenRequest, When


def _key(request: SeenRequest) -> str:
    return unquote(request.path).lstrip("/").partition("/")[2]


_TRIALS = ".homeserver-backup-probe-learn-"
"""Prefix of the probes by which the provider tests what a server enforces; not counted as a transfer."""


def _object(method: str, *, having: tuple[str, ...] = (), key: str | None = None) -> When:
    def when(request: SeenRequest) -> bool:
        kinds = {"uploads", "uploadId", "partNumber", "list-type", "delete"} & request.query.keys()
        own = not _key(request) or _TRIALS in _key(request)
        if request.method != method or own or kinds != set(having):
            return False
        return key is None or _key(request) == key

    return when


def put_object(key: str | None = None) -> When:
    """A whole object in one request."""
    return _object("PUT", key=key)


def put_part(number: int | None = None) -> When:
    """A part of a multipart upload, counted from 1."""
    is_part = _object("PUT", having=("uploadId", "partNumber"))
    return lambda request: is_part(request) and (number is None or request.query["partNumber"] == str(number))


def put_part_from(first: int) -> When:
    """Part `first` of a multipart upload and every later one."""
    is_part = put_part()
    return lambda request: is_part(request) and int(request.query["partNumber"]) >= first


def create_multipart() -> When:
    return _object("POST", having=("uploads",))


def complete_multipart() -> When:
    return _object("POST", having=("uploadId",))


def abort_multipart() -> When:
    return _object("DELETE", having=("uploadId",))


def list_parts() -> When:
    return _object("GET", having=("uploadId",))


def get_object(key: str | None = None) -> When:
    return _object("GET", key=key)


def head_object(key: str | None = None) -> When:
    return _object("HEAD", key=key)


def delete_object(key: str | None = None) -> When:
    return _object("DELETE", key=key)


def list_objects() -> When:
    """A listing of objects, not of unfinished uploads."""

    def when(request: SeenRequest) -> bool:
        in_bucket = bool(request.path.strip("/")) and not _key(request)
        return request.method == "GET" and in_bucket and "uploads" not in request.query

    return when


def any_of(*whens: When) -> When:
    return lambda request: any(when(request) for when in whens)


def writes(request: SeenRequest) -> bool:
    """All requests that may change something at the service."""
    return request.method in {"PUT", "POST"}
