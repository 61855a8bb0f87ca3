"""Predicates for requests of B2's native API, as `when` for the fault proxy."""

from __future__ import annotations

from providers.testing.faults import When


def call(*names: str) -> When:
    """Calls by name, for example 'b2_hide_file'."""
    return lambda request: bool(set(names) & set(request.path.split("/")))


def upload_file() -> When:
    """A whole file in one request."""
    return call("b2_upload_file")


def upload_part(number: int | None = None) -> When:
    """A part of a large file, counted from 1."""
    is_part = call("b2_upload_part")
    return lambda request: (
        is_part(request) and (number is None or request.headers.get("x-bz-part-number") == str(number))
    )


def download() -> When:
    return lambda request: request.method == "GET" and request.path.startswith("/file/")


def look() -> When:
    """HEAD of a file."""
    return lambda request: request.method == "HEAD" and request.path.startswith("/file/")


def listing() -> When:
    return call("b2_list_file_names")


def remove() -> When:
    return call("b2_hide_file", "b2_delete_file_version")


def after_sign_in() -> When:
    """All requests that need a token."""
    sign_in = call("b2_authorize_account")
    return lambda request: not sign_in(request)
