"""Error answers of B2, as faults for the proxy.

Statuses and codes: Backblaze B2 documentation, "Native API, error handling" and the pages of the calls.
"""

from __future__ import annotations

import json

from providers.testing.faults import Fault
from tests.servers.s3_errors import HTML_PAGE


def b2_error(status: int, code: str, message: str, *, retry_after_s: float | None = None) -> Fault:
    body = json.dumps({"status": status, "code": code, "message": message})
    headers = {"Content-Type": "application/json;charset=utf-8"}
    return Fault.status(status, body, headers=headers, retry_after_s=retry_after_s)


def expired_auth_token() -> Fault:
    return b2_error(401, "expired_auth_token", "Authorization token has expired")


def bad_auth_token() -> Fault:
    return b2_error(401, "bad_auth_token", "Invalid authorization token")


def unauthorized() -> Fault:
    """A capability is missing; b2_authorize_account also answers so for an unknown key."""
    return b2_error(401, "unauthorized", "Not authorized to call this")


def access_denied() -> Fault:
    return b2_error(403, "access_denied", "Access denied")


def forbidden_without_words() -> Fault:
    return Fault.status(403, "")


def storage_cap_exceeded() -> Fault:
    return b2_error(403, "storage_cap_exceeded", "Cannot upload files, storage cap exceeded.")


def transaction_cap_exceeded() -> Fault:
    return b2_error(403, "transaction_cap_exceeded", "Transaction cap exceeded.")


def download_cap_exceeded() -> Fault:
    return b2_error(403, "download_cap_exceeded", "Cannot download file, download bandwidth cap exceeded.")


def bad_bucket_id() -> Fault:
    return b2_error(400, "bad_bucket_id", "Bucket does not exist: 4a48fe8875c6214145260818")


def not_found() -> Fault:
    return b2_error(404, "not_found", "File with such name does not exist.")


def conflict() -> Fault:
    return b2_error(409, "conflict", "Something changed meanwhile")


def precondition_failed() -> Fault:
    return Fault.status(412, "")


def payload_too_large() -> Fault:
    """Answer of a web server in front of the service."""
    return Fault.status(413, HTML_PAGE, headers={"Content-Type": "text/html"})


def sha1_mismatch() -> Fault:
    return b2_error(400, "bad_request", "Sha1 did not match data received")


def too_many_requests(retry_after_s: float | None = None) -> Fault:
    return b2_error(429, "too_many_requests", "Too many requests", retry_after_s=retry_after_s)


def service_unavailable(retry_after_s: float | None = None) -> Fault:
    """Answer of an upload URL whose pod is busy: request another one."""
    return b2_error(503, "service_unavailable", "no tomes available", retry_after_s=retry_after_s)


def request_timeout() -> Fault:
    return b2_error(408, "request_timeout", "The service timed out reading the uploaded file")


def internal_error() -> Fault:
    return b2_error(500, "internal_error", "incident id 3a5b")


def bad_gateway() -> Fault:
    return Fault.status(502, HTML_PAGE, headers={"Content-Type": "text/html"})


def portal() -> Fault:
    """A login portal answers instead of the service."""
    return Fault.status(400, HTML_PAGE, headers={"Content-Type": "text/html"})
