"""Translation of B2's errors into those of `providers.errors`.

Statuses and codes: Backblaze B2 documentation, "Native API, error handling" and the pages of the calls.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final, cast

from b2sdk.v3.exception import B2Error, InvalidAuthToken, Unauthorized, UnusableFileName

from providers import errors
from providers.errors import InvalidConfiguration, ProviderError, RateLimited, Transient
from providers.http import broken_json
from providers.http.errors import json_object, retry_after_s

AUTHORIZE: Final = "b2_authorize_account"
_MAX_TEXT: Final = 400
_MAX_CODE: Final = 100
_RENEW: Final = {"bad_auth_token", "expired_auth_token"}
_BY_CODE: Final[dict[str, type[ProviderError]]] = {
    **dict.fromkeys(["access_denied", "email_not_verified", "no_payment_history"], errors.PermissionDenied),
    **dict.fromkeys(["account_trouble", "unsupported"], errors.PermissionDenied),
    **dict.fromkeys(["cap_exceeded", "storage_cap_exceeded", "too_many_buckets"], errors.QuotaExceeded),
    **dict.fromkeys(["transaction_cap_exceeded", "download_cap_exceeded"], errors.QuotaExceeded),
    **dict.fromkeys(["no_such_file", "file_not_present", "not_found", "already_hidden"], errors.NotFound),
    **dict.fromkeys(["invalid_file_id", "bad_file_id", "missing_part"], errors.NotFound),
    **dict.fromkeys(["duplicate_bucket_name", "conflict"], errors.Conflict),
    **dict.fromkeys(["part_sha1_mismatch", "range_not_satisfiable"], errors.Integrity),
    **dict.fromkeys(["too_many_requests", "service_unavailable"], RateLimited),
    **dict.fromkeys(["request_timeout", "auth_token_limit"], Transient),
    "internal_error": errors.Transient,
}
_BY_STATUS: Final[dict[int, type[ProviderError]]] = {
    403: errors.PermissionDenied,
    404: errors.NotFound,
    405: errors.Unsupported,
    408: Transient,
    409: errors.Conflict,
    412: errors.Conflict,
    413: errors.Unsupported,
    416: errors.Integrity,
    429: RateLimited,
    501: errors.Unsupported,
    503: RateLimited,
    507: errors.QuotaExceeded,
}
_BY_WORDS: Final[list[tuple[re.Pattern[str], type[ProviderError]]]] = [
    (re.compile(r"(sha-?1|checksum).*(did|does) not match", re.IGNORECASE), errors.Integrity),
    (re.compile(r"no active upload|file_state_none", re.IGNORECASE), errors.NotFound),
    (re.compile(r"file ?names?\b", re.IGNORECASE), errors.InvalidName),
    (re.compile(r"too (large|big)|exceeds", re.IGNORECASE), errors.Unsupported),
]
_HINTS: Final[dict[type[ProviderError], str]] = {
    errors.Unsupported: "Set a smaller upload_chunk_size; a proxy in between may have its own limit.",
    errors.QuotaExceeded: "Raise the cap in the B2 console under Caps & Alerts, or delete what is no longer needed.",
    errors.PermissionDenied: "Make a key for this bucket with permission to list, read, write and delete files.",
}


_HINTS_BY_CODE: Final[dict[str, str]] = {
    "download_cap_exceeded": "The daily download cap is used up: raise it in the B2 console under Caps & "
    "Alerts, or retry after midnight GMT.",
    "transaction_cap_exceeded": "The daily transaction cap is used up: raise it in the B2 console under Caps & "
    "Alerts, or retry after midnight GMT.",
    "bad_bucket_id": "Check the name in container, or create the bucket.",
}


def failure(status: int, headers: Mapping[str, str], body: bytes, call: str, host: str) -> Exception:
    """Translates an error reply. Some 401s become the SDK's own exception, so that it fetches a new token."""
    found = json_object(body)
    code = str((found or {}).get("code") or "")[:_MAX_CODE]
    text = " ".join(str((found or {}).get("message") or "").split())[:_MAX_TEXT].rstrip(".")
    if status == 401 and call == AUTHORIZE:
        return refused_key(text or f"HTTP {status}", code)
    if status == 401 and code in _RENEW:
        return cast(Exception, InvalidAuthToken(text, code))
    if status == 401 and code not in _BY_CODE:
        return cast(Exception, Unauthorized(text, code))
    cls = _class(status, code, text)
    if cls is None and body and found is None and status < 500:
        return not_b2(status, headers)
    words = f"{text} ({code})" if text and code else code or f"HTTP {status}"
    return _error(cls or (Transient if status >= 500 else ProviderError), words, code, headers, host)


def _class(status: int, code: str, text: str) -> type[ProviderError] | None:
    if code == "bad_bucket_id":
        return errors.NotFound
    if status == 400 and code not in _BY_CODE:
        return next((cls for pattern, cls in _BY_WORDS if pattern.search(text)), None)
    return _BY_CODE.get(code) or _BY_STATUS.get(status)


def _error(cls: type[ProviderError], words: str, code: str, headers: Mapping[str, str], host: str) -> ProviderError:
    hint = _HINTS_BY_CODE.get(code) or _HINTS.get(cls, "")
    if cls is RateLimited:
        return RateLimited(f"{host} asks to slow down: {words}", code=code, retry_after_s=retry_after_s(headers))
    if cls is errors.ProviderError:
        hint = "See the service's message; the log has the request."
    return cls(f"{host} answers: {words}", hint=hint, code=code)


def refused_key(words: str, code: str) -> errors.Authentication:
    return errors.Authentication(
        f"the application key was not accepted: {words}",
        hint="Check application_key_id and application_key: both belong to one key, which may have been deleted.",
        code=code,
    )


def from_sdk(error: B2Error) -> ProviderError:
    """Translates errors of the SDK itself: 401 even with a new token, or a name that it refuses to send."""
    if isinstance(error, NoJson):
        return broken_json.failure(error.body) or not_b2(200, {})
    if isinstance(error, InvalidAuthToken):
        return refused_key("the service issues tokens and then refuses them", str(error.code or ""))
    if isinstance(error, Unauthorized):
        text = str(error.message)[:_MAX_TEXT]
        return errors.PermissionDenied(
            f"not allowed: {text}", hint=_HINTS[errors.PermissionDenied], code=str(error.code or "")
        )
    if isinstance(error, UnusableFileName):
        return errors.InvalidName(str(error)[:_MAX_TEXT])
    return ProviderError(f"the SDK failed: {type(error).__name__}", hint="See the log.", code=type(error).__name__)


@contextmanager
def as_documented() -> Iterator[None]:
    """For code that reads an answer, here or in the SDK: a missing field or a wrong type raises Integrity."""
    try:
        yield
    except (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise undocumented() from error


def undocumented() -> ProviderError:
    return errors.Integrity(
        "B2's answer is not as documented: a field is missing or has the wrong type",
        hint="Check for a proxy in between; the log has the details.",
        code="undocumented",
    )


class NoJson(B2Error):  # type: ignore[misc]
    """An answer that is not valid JSON. `body` is kept because a listing may be partly readable."""

    def __init__(self, body: bytes) -> None:
        super().__init__()
        self.body = body


def not_b2(status: int, headers: Mapping[str, str]) -> ProviderError:
    kind = headers.get("content-type", "no content type").partition(";")[0][:_MAX_CODE]
    return InvalidConfiguration(
        f"realm: the server there does not answer like B2 (HTTP {status}, {kind})",
        field="realm",
        hint="Leave realm empty for Backblaze; an S3 endpoint needs a provider of type aws_s3.",
    )
