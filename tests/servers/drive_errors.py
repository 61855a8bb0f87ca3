"""Error answers of Google Drive, as faults for the proxy.

Texts and reasons: Drive API, "Resolve errors"; RFC 6749 for the token endpoint.
"""

from __future__ import annotations

import json

from providers.testing.faults import Fault
from tests.servers.drive_server import error_body
from tests.servers.s3_errors import HTML_PAGE

_ERROR_INFO = "type.googleapis.com/google.rpc.ErrorInfo"
_JSON = {"Content-Type": "application/json; charset=UTF-8"}


def drive_error(
    status: int, reason: str, message: str, *, domain: str = "global", retry_after_s: float | None = None
) -> Fault:
    body = json.dumps(error_body(status, reason, message, domain))
    return Fault.status(status, body, headers=_JSON, retry_after_s=retry_after_s)


def oauth_error(status: int, error: str, description: str = "") -> Fault:
    return Fault.status(status, json.dumps({"error": error, "error_description": description}), headers=_JSON)


def invalid_credentials() -> Fault:
    return drive_error(401, "authError", "Invalid Credentials")


def unauthorized_without_words() -> Fault:
    return Fault.status(401, "")


def revoked() -> Fault:
    return oauth_error(400, "invalid_grant", "Token has been expired or revoked.")


def unknown_client() -> Fault:
    return oauth_error(401, "invalid_client", "The OAuth client was not found.")


def insufficient_permissions() -> Fault:
    return drive_error(403, "insufficientFilePermissions", "The user does not have sufficient permissions.")


def app_not_authorized() -> Fault:
    return drive_error(
        403, "appNotAuthorizedToFile", "The user has not granted the app 123 write access to the file 456."
    )


def api_switched_off() -> Fault:
    return drive_error(
        403, "accessNotConfigured", "Google Drive API has not been used in project 123 before.", domain="usageLimits"
    )


def scope_insufficient() -> Fault:
    """In the form of newer answers."""
    body = {
        "error": {
            "code": 403,
            "message": "Request had insufficient authentication scopes.",
            "status": "PERMISSION_DENIED",
            "details": [{"@type": _ERROR_INFO, "reason": "ACCESS_TOKEN_SCOPE_INSUFFICIENT"}],
        }
    }  # fmt: skip
    return Fault.status(403, json.dumps(body), headers=_JSON)


def forbidden_without_words() -> Fault:
    return Fault.status(403, "")


def not_found() -> Fault:
    return drive_error(404, "notFound", "File not found: 1AbC.")


def conflict() -> Fault:
    return drive_error(409, "conflict", "The request conflicts with another one.")


def precondition_failed() -> Fault:
    return drive_error(412, "conditionNotMet", "Precondition Failed")


def storage_quota_exceeded() -> Fault:
    return drive_error(403, "storageQuotaExceeded", "The user's Drive storage quota has been exceeded.")


def no_storage_of_service_account() -> Fault:
    return drive_error(
        403, "storageQuotaExceeded", "Service Accounts do not have storage quota. Leverage shared drives instead."
    )


def daily_limit_exceeded() -> Fault:
    return drive_error(403, "dailyLimitExceeded", "Daily Limit Exceeded", domain="usageLimits")


def rate_limit_exceeded() -> Fault:
    return drive_error(403, "rateLimitExceeded", "Rate Limit Exceeded", domain="usageLimits")


def user_rate_limit_exceeded() -> Fault:
    return drive_error(403, "userRateLimitExceeded", "User Rate Limit Exceeded", domain="usageLimits")


def sharing_rate_limit_exceeded() -> Fault:
    return drive_error(403, "sharingRateLimitExceeded", "Rate limit exceeded. You have exceeded your sharing quota.")


def download_quota_exceeded() -> Fault:
    return drive_error(403, "downloadQuotaExceeded", "The download quota for this file has been exceeded.")


def upload_quota_exceeded() -> Fault:
    return drive_error(403, "uploadQuotaExceeded", "The upload quota of this account has been exceeded.")


def too_many_requests(retry_after_s: float | None = None) -> Fault:
    return drive_error(
        429, "rateLimitExceeded", "Rate Limit Exceeded", domain="usageLimits", retry_after_s=retry_after_s
    )


def service_unavailable(retry_after_s: float | None = None) -> Fault:
    return drive_error(503, "", "The service is currently unavailable.", retry_after_s=retry_after_s)


def backend_error() -> Fault:
    return drive_error(500, "backendError", "Backend Error")


def bad_gateway() -> Fault:
    return Fault.status(502, HTML_PAGE, headers={"Content-Type": "text/html"})


def payload_too_large() -> Fault:
    return Fault.status(413, HTML_PAGE, headers={"Content-Type": "text/html"})


def login_portal() -> Fault:
    return Fault.status(200, HTML_PAGE, headers={"Content-Type": "text/html"})
