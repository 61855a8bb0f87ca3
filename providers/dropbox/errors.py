"""Dropbox replies, and their translation into the errors of `providers.errors`.

Source: https://www.dropbox.com/developers/documentation/http/documentation#error-handling
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from providers import errors
from providers.errors import LONGEST_WAIT_S, InvalidConfiguration, ProviderError, RateLimited
from providers.http import broken_json
from providers.http.errors import json_object, retry_after_s, seconds_from_json
from providers.remedies import Action, Remedy

_BY_TAG: Final[dict[str, type[ProviderError]]] = {
    **dict.fromkeys(["not_found", "not_file", "not_folder", "closed"], errors.NotFound),
    **dict.fromkeys(["conflict", "reset", "incorrect_offset"], errors.Conflict),
    **dict.fromkeys(["insufficient_space", "team_folder_insufficient_space"], errors.QuotaExceeded),
    **dict.fromkeys(["member_folder_insufficient_space", "upload_traffic_limit_reached"], errors.QuotaExceeded),
    **dict.fromkeys(["no_write_permission", "access_restricted", "operation_suppressed"], errors.PermissionDenied),
    **dict.fromkeys(["locked", "restricted_content", "team_folder", "no_permission"], errors.PermissionDenied),
    **dict.fromkeys(["malformed_path", "disallowed_name"], errors.InvalidName),
    **dict.fromkeys(["too_many_write_operations", "too_many_requests"], errors.RateLimited),
    **dict.fromkeys(["content_hash_mismatch"], errors.Integrity),
    **dict.fromkeys(["payload_too_large", "too_large"], errors.Unsupported),
    **dict.fromkeys(["unsupported_file", "unsupported_content_type"], errors.Unsupported),
    **dict.fromkeys(["encryption_not_supported"], errors.Unsupported),
}
_BY_STATUS: Final[dict[int, type[ProviderError]]] = {
    401: errors.Authentication,
    403: errors.PermissionDenied,
    404: errors.NotFound,
    408: errors.Transient,
    409: errors.Conflict,
    412: errors.Conflict,
    413: errors.Unsupported,
    416: errors.Integrity,
    429: errors.RateLimited,
    503: errors.RateLimited,
    507: errors.QuotaExceeded,
}
_HINTS: Final[dict[type[ProviderError], str]] = {
    errors.PermissionDenied: "Check that the app's permissions are ticked and that the account is not restricted.",
    errors.QuotaExceeded: "Free space in this Dropbox, or get more, then retry: sent parts are kept for 7 days.",
    errors.Unsupported: "Store it under another name, in smaller pieces, or in another service.",
    ProviderError: "Try again later; if it persists, see https://status.dropbox.com.",
}
_HINTS_BY_TAG: Final[dict[str, str]] = {
    "restricted_content": "Dropbox blocks this file, mostly over a copyright claim; ask its support.",
    "unsupported_file": "It is a Dropbox Paper document, which has no bytes: export it at dropbox.com.",
    "locked": "This file is locked: unlock it at dropbox.com to change it.",
    "upload_traffic_limit_reached": "This account has reached its traffic limit, which is reset daily or monthly.",
}
_SCOPE: Final = re.compile(r"required scope '([a-z_.]+)'")
_MAX_WORDS: Final = 300
_NOT_DROPBOX_HINT: Final = "Look for a login portal or proxy in between; leave endpoint_url empty for Dropbox itself."


@dataclass(frozen=True)
class DropboxReply:
    """A complete answer. Header names are lower-case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""

    def json(self) -> dict[str, Any]:
        """The body as a JSON object. Raises Integrity if it is damaged, InvalidConfiguration if the answer is not from
        Dropbox."""
        found = json_object(self.body)
        if found is None:
            raise broken_json.failure(self.body) or not_dropbox(self)
        return found

    @property
    def tags(self) -> tuple[str, ...]:
        """The error's tags from outermost to innermost, for example ('path', 'conflict', 'file')."""
        return tuple(_tags((json_object(self.body) or {}).get("error")))


def _tags(error: object) -> Iterator[str]:
    """Tagged unions are nested under the name of their tag or, in UploadWriteFailed, under `reason`."""
    for _ in range(8):
        if isinstance(error, str):
            yield clean(error, 100)
            return
        if not isinstance(error, dict):
            return
        tag = error.get(".tag")
        if isinstance(tag, str):
            yield clean(tag, 100)
            error = error.get(tag, error.get("reason"))
        else:
            error = error.get("reason")


def clean(text: str, limit: int = _MAX_WORDS) -> str:
    """A server's message on one line, shortened."""
    words = "".join(char if char.isprintable() else " " for char in text[: 4 * limit])
    return " ".join(words.split())[:limit]


def not_dropbox(reply: DropboxReply) -> ProviderError:
    kind = clean(reply.headers.get("content-type", "no content type").partition(";")[0], 60)
    return InvalidConfiguration(
        f"the server there does not answer like Dropbox (HTTP {reply.status}, {kind})",
        field="endpoint_url",
        hint=_NOT_DROPBOX_HINT,
    )


def no_dropbox_there(error: ProviderError) -> ProviderError:
    """For an address that fails even the request that Dropbox answers for everyone."""
    return InvalidConfiguration(
        f"the server there does not answer like Dropbox: {error.message}", field="endpoint_url", hint=_NOT_DROPBOX_HINT
    )


def failure(reply: DropboxReply, about: str) -> ProviderError:
    """Translates a reply with status 300 or above. `about` is the subject of the request."""
    tags = reply.tags
    found = json_object(reply.body)
    summary = clean(str((found or {}).get("error_summary") or "")).rstrip("./ ")
    words = summary or (clean(reply.body.decode("utf-8", "replace")) if found is None and _plain(reply) else "")
    words = words or f"HTTP {reply.status}"
    scope = _missing_scope(reply, words)
    if scope:
        return errors.PermissionDenied(
            f"the app may not do this: it lacks the permission {scope}",
            hint=f"Tick {scope} in the app's Permissions tab, submit, then authorise again.",
            code="missing_scope",
        )
    cls = next((_BY_TAG[tag] for tag in tags if tag in _BY_TAG), None) if reply.status == 409 else None
    cls = cls or _BY_STATUS.get(reply.status) or (errors.Transient if reply.status >= 500 else ProviderError)
    if reply.status == 409 and tags[-1:] == ("other",) and cls is errors.Conflict:
        cls = ProviderError
    code = tags[-1] if tags else ""
    if cls is RateLimited:
        return RateLimited(f"Dropbox asks to slow down: {words}", code=code, retry_after_s=_wait_s(reply))
    if 300 <= reply.status < 400:
        return not_dropbox(reply)
    hint = next((_HINTS_BY_TAG[tag] for tag in tags if tag in _HINTS_BY_TAG), _HINTS.get(cls, ""))
    remedies = (Remedy(Action.AUTHORIZE),) if cls is errors.Authentication and not hint else ()
    return cls(f"{about}: Dropbox answers {words}", hint=hint, remedies=remedies, code=code)


def _plain(reply: DropboxReply) -> bool:
    return reply.headers.get("content-type", "").startswith("text/plain")


def _missing_scope(reply: DropboxReply, words: str) -> str:
    if "missing_scope" in reply.tags:
        error = (json_object(reply.body) or {}).get("error")
        return clean(str(error.get("required_scope", "")) if isinstance(error, dict) else "", 60) or "that it needs"
    found = _SCOPE.search(words) if reply.status == 400 else None
    return found[1] if found else ""


def _wait_s(reply: DropboxReply) -> float | None:
    """Seconds from Retry-After, or from the body of a 429."""
    error = (json_object(reply.body) or {}).get("error")
    in_body = error.get("retry_after") if isinstance(error, dict) else None
    in_header = retry_after_s(reply.headers)
    return seconds_from_json(in_body, LONGEST_WAIT_S) if in_header is None else in_header
