"""Error answers of Dropbox, as faults for the proxy.

Source: https://www.dropbox.com/developers/documentation/http/documentation#error-handling, and the unions of its API
specification (UploadError, LookupError, AuthError, AccessError, RateLimitError).
"""

from __future__ import annotations

import json

from providers.testing.faults import Fault

_JSON = {"Content-Type": "application/json"}


def refused(*tags: str, status: int = 409, retry_after_s: float | None = None, **fields: object) -> Fault:
    """A tagged union, for example refused('path', 'insufficient_space')."""
    error: dict[str, object] = {".tag": tags[-1], **fields}
    for tag in reversed(tags[:-1]):
        error = {".tag": tag, tag: error}
    body = json.dumps({"error_summary": "/".join(tags) + "/...", "error": error})
    return Fault.status(status, body, headers=_JSON, retry_after_s=retry_after_s)


def invalid_access_token() -> Fault:
    return refused("invalid_access_token", status=401)


def expired_access_token() -> Fault:
    return refused("expired_access_token", status=401)


def missing_scope(scope: str = "files.content.write") -> Fault:
    return refused("missing_scope", status=401, required_scope=scope)


def app_lacks_scope(scope: str = "files.content.write") -> Fault:
    """Plain-text answer to an app without the permission."""
    words = (
        'Error in call to API function "files/upload": Your app (ID: 1234567) is not permitted to access this endpoint '
        f"because it does not have the required scope '{scope}'. The owner of the app can enable the scope for the app "
        "using the Permissions tab on the App Console."
    )
    return Fault.status(400, words, headers={"Content-Type": "text/plain; charset=utf-8"})


def no_permission() -> Fault:
    return refused("no_permission", status=403)


def too_many_requests(retry_after_s: float = 7) -> Fault:
    body = {"reason": {".tag": "too_many_requests"}, "retry_after": int(retry_after_s)}
    text = json.dumps({"error_summary": "too_many_requests/...", "error": body})
    return Fault.status(429, text, headers=_JSON, retry_after_s=retry_after_s)


def too_many_write_operations() -> Fault:
    """`finish` also answers this with 409."""
    return refused("too_many_write_operations")


def html_page(status: int) -> Fault:
    page = "<!DOCTYPE html><html><head><title>Dropbox - Error</title></head><body><h1>Error</h1></body></html>"
    return Fault.status(status, page, headers={"Content-Type": "text/html"})
