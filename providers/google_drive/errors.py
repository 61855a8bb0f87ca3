"""Google's replies, and their translation into the errors of `providers.errors`.

Sources: Drive API "Resolve errors", and RFC 6749 section 5.2 for the token endpoint.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from providers import errors
from providers.errors import InvalidConfiguration, ProviderError, RateLimited, Transient
from providers.http import broken_json
from providers.http.errors import json_object, retry_after_s
from providers.remedies import Action, Remedy

_LONGEST_TEXT: Final = 300
_LONGEST_CODE: Final = 80

_BY_REASON: Final[dict[str, type[ProviderError]]] = {
    **dict.fromkeys(
        ["rateLimitExceeded", "userRateLimitExceeded", "sharingRateLimitExceeded", "backendError429"],
        errors.RateLimited,
    ),
    **dict.fromkeys(
        [
            "storageQuotaExceeded",
            "teamDriveFileLimitExceeded",
            "teamDriveHierarchyTooDeep",
            "numChildrenInNonRootLimitExceeded",
            "activeItemCreationLimitExceeded",
            "myDriveHierarchyDepthLimitExceeded",
            "quotaExceeded",
            "dailyLimitExceeded",
            "dailyLimitExceededUnreg",
            "downloadQuotaExceeded",
            "uploadQuotaExceeded",
        ],
        errors.QuotaExceeded,
    ),
    **dict.fromkeys(
        [
            "appNotAuthorizedToFile",
            "insufficientFilePermissions",
            "insufficientParentPermissions",
            "insufficientPermissions",
            "forbidden",
            "domainPolicy",
            "cannotDownloadAbusiveFile",
            "accessNotConfigured",
            "fileWritingDisabled",
            "targetUserRoleLimitedByLicenseRestriction",
            "cannotDownloadFile",
            "abusiveContentRestriction",
        ],
        errors.PermissionDenied,
    ),
    **dict.fromkeys(["authError", "required", "expired", "invalidCredentials"], errors.Authentication),
    **dict.fromkeys(["notFound", "teamDriveNotFound"], errors.NotFound),
    **dict.fromkeys(["fileIdInUse", "conflict", "duplicate", "conditionNotMet"], errors.Conflict),
    **dict.fromkeys(["badContent", "parseError"], errors.Integrity),
    **dict.fromkeys(["backendError", "internalError"], errors.Transient),
    "transientError": errors.Transient,
    **dict.fromkeys(["uploadTooLarge", "mediaTooLarge", "fileNotDownloadable"], errors.Unsupported),
    "requestedRangeNotSatisfiable": errors.Integrity,
}
_BY_STATUS: Final[dict[int, type[ProviderError]]] = {
    401: errors.Authentication,
    403: errors.PermissionDenied,
    404: errors.NotFound,
    405: errors.Unsupported,
    408: errors.Transient,
    409: errors.Conflict,
    410: errors.NotFound,
    412: errors.Conflict,
    413: errors.Unsupported,
    416: errors.Integrity,
    429: errors.RateLimited,
    501: errors.Unsupported,
    503: errors.RateLimited,
}
_ROLE_HINT: Final = (
    "This account has read access only: have its role in the folder or shared drive raised to Content "
    "manager, or set container and shared_drive_id to a place where it may write."
)
_HINTS: Final[dict[str, str]] = {
    "userRateLimitExceeded": "It continues by itself. Google accepts about 750 GB a day from an account.",
    "sharingRateLimitExceeded": "It continues by itself; Google may take about a day to allow more.",
    "downloadQuotaExceeded": "This file has reached Google's download limit, which ends after about a "
    "day. No permission is missing. A copy made in Drive can be downloaded now.",
    "uploadQuotaExceeded": "This account has reached Google's upload limit (750 GB a day), which ends after about a "
    "day.",
    "cannotDownloadFile": "Its owner does not allow downloads: ask the owner to, or for a copy.",
    "abusiveContentRestriction": "Google has flagged this file; only its owner can ask for a review.",
    "fileNotDownloadable": "Documents of Google's editors have no bytes: export them in Drive.",
    "dailyLimitExceeded": "The Cloud project has used up its daily requests; they are reset at midnight (Pacific).",
    "storageQuotaExceeded": "Empty the bin of the drive, or get more storage, then retry.",
    "appNotAuthorizedToFile": "With drive.file, only files made by this program can be used: see scope.",
    "insufficientFilePermissions": _ROLE_HINT,
    "insufficientParentPermissions": _ROLE_HINT,
    "accessNotConfigured": "Switch on the Google Drive API in the Cloud project of this client.",
    "insufficientPermissions": "The token lacks permissions: leave all boxes ticked this time.",
    "cannotDownloadAbusiveFile": "Google has flagged this file. If you trust it, set acknowledge_abuse.",
    "numChildrenInNonRootLimitExceeded": "A folder holds at most 500,000 items: spread the files over more folders.",
    "teamDriveFileLimitExceeded": "A shared drive holds at most 500,000 items: remove some, or use another one.",
}
_AUTHORIZE: Final = (Remedy(Action.AUTHORIZE),)
_RETRY: Final = (Remedy(Action.RETRY),)
_REMEDIES: Final[dict[str, tuple[Remedy, ...]]] = {
    "downloadQuotaExceeded": _RETRY,
    "uploadQuotaExceeded": _RETRY,
    "insufficientPermissions": _AUTHORIZE,
}
_NOT_DRIVE_HINT: Final = "Check endpoint_url and the network: this may be a web page or a login portal."
_NO_STORAGE_HINT: Final = "A service account has no storage: add it to a shared drive, and set shared_drive_id."
_GRANT_HINT: Final = (
    "If it ended after seven days, the consent screen of the client is still in 'Testing': publish it (Google Auth "
    "Platform, Audience, Publish app); its tokens then do not expire."
)


@dataclass(frozen=True)
class DriveReply:
    """A complete answer. Header names are lower-case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""

    def json(self) -> dict[str, Any]:
        """The body as a JSON object. Raises Integrity if it is damaged, InvalidConfiguration if the answer is not from
        Google."""
        found = json_object(self.body)
        if found is None:
            raise broken_json.failure(self.body) or not_drive(self)
        return found


def not_drive(reply: DriveReply) -> ProviderError:
    kind = reply.headers.get("content-type", "no content type").partition(";")[0][:_LONGEST_CODE]
    return InvalidConfiguration(
        f"endpoint_url: the server there does not answer like Google Drive (HTTP {reply.status}, {kind})",
        field="endpoint_url",
        hint=_NOT_DRIVE_HINT,
    )


def no_drive_there(error: ProviderError) -> ProviderError:
    """For an address that fails even the request that Google answers for everyone."""
    return InvalidConfiguration(
        f"endpoint_url: the server there does not answer like Google Drive: {error.message}",
        field="endpoint_url",
        hint=_NOT_DRIVE_HINT,
    )


def no_shared_drive(drive_id: str, error: ProviderError) -> ProviderError:
    """Google does not distinguish a missing drive from one that the account may not see."""
    return InvalidConfiguration(
        f"shared_drive_id: the shared drive {drive_id} does not exist, or this account may not use it: {error.message}",
        field="shared_drive_id",
        hint="Check the id (the end of the drive's address), and that this account is a member of the drive.",
    )


def failure(reply: DriveReply) -> ProviderError:
    """Translates a reply with status 300 or above."""
    found = json_object(reply.body) if reply.body else {}
    error = (found or {}).get("error")
    if isinstance(error, str):
        return oauth_failure(error, str((found or {}).get("error_description", "")), reply)
    details = error if isinstance(error, dict) else {}
    reason, text = _reason(details), _clean(str(details.get("message", "")), _LONGEST_TEXT)
    cls = _BY_REASON.get(reason) or _BY_STATUS.get(reply.status)
    if cls is None:
        if found is None and reply.status < 500:
            return not_drive(reply)
        cls = Transient if reply.status >= 500 else ProviderError
    words = f"{text.rstrip('.')} ({reason})" if text and reason else text or reason or f"HTTP {reply.status}"
    hint = _HINTS.get(reason, "")
    remedies = _REMEDIES.get(reason, ())
    if cls is errors.QuotaExceeded and "service account" in text.lower():
        hint = _NO_STORAGE_HINT
    if cls is RateLimited:
        seconds = retry_after_s(reply.headers)
        return RateLimited(
            f"Google asks to slow down: {words}", hint=hint, remedies=remedies, code=reason, retry_after_s=seconds
        )
    if cls is errors.Authentication:
        return cls(f"Google did not accept the access token: {words}", remedies=_AUTHORIZE, code=reason)
    if not (hint or cls.cure or cls.remedies):
        hint = "See the service's message, then retry."
    return cls(f"Google answers: {words}", hint=hint, remedies=remedies, code=reason)


def _reason(details: Mapping[str, Any]) -> str:
    """`errors[0].reason`; newer answers have it in upper case in `details`."""
    for group in ("errors", "details"):
        items = details.get(group)
        for item in items if isinstance(items, list) else []:
            if isinstance(item, dict) and isinstance(item.get("reason"), str):
                reason = _clean(item["reason"], _LONGEST_CODE)
                return {"ACCESS_TOKEN_SCOPE_INSUFFICIENT": "insufficientPermissions"}.get(reason, reason)
    return ""


def _clean(text: str, longest: int) -> str:
    """One line of bounded length without control characters."""
    return re.sub(r"[\x00-\x1f\x7f]+", " ", text)[:longest]


def oauth_failure(error: str, description: str, reply: DriveReply) -> ProviderError:
    """Translates an error of the token endpoint (RFC 6749), with a fix for each cause."""
    code = _clean(error, _LONGEST_CODE)
    text = _clean(description, _LONGEST_TEXT).rstrip(".")
    words = f"{text} ({code})" if text else code
    if code == "invalid_grant":
        hint = _grant_hint(text)
        remedies = _AUTHORIZE if hint is _GRANT_HINT else ()
        return errors.Authentication(
            f"the refresh token is no longer valid: {words}", hint=hint, remedies=remedies, code=code
        )
    if code in {"invalid_client", "unauthorized_client", "deleted_client", "disabled_client"}:
        return errors.Authentication(
            f"Google does not know this client: {words}",
            hint="Check client_id and client_secret: both come from the same client in the Cloud console.",
            code=code,
        )
    if code == "invalid_scope":
        return errors.Authentication(
            f"this client may not request this access: {words}", remedies=_AUTHORIZE, code=code
        )
    if code in {"rate_limit_exceeded", "slow_down"} or reply.status == 429:
        return RateLimited(f"Google asks to slow down: {words}", code=code, retry_after_s=retry_after_s(reply.headers))
    if reply.status >= 500 or code in {"internal_failure", "temporarily_unavailable", "server_error"}:
        return Transient(f"Google answers: {words}", code=code)
    cls = _BY_STATUS.get(reply.status, errors.Authentication)
    return cls(f"Google answers: {words}", remedies=_AUTHORIZE, code=code)


def _grant_hint(text: str) -> str:
    lower = text.lower()
    if "jwt" in lower or "iat" in lower:
        return "Set this machine's clock (timedatectl set-ntp true), and check the service account's key."
    if "account not found" in lower or "email" in lower:
        return "The service account is gone or disabled: make a new key in the Cloud console."
    return _GRANT_HINT
