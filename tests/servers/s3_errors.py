"""Error answers of S3 and compatible services, as faults for the proxy.

Texts and statuses: Amazon S3 API Reference, Error responses. QuotaExceeded is used by Ceph RGW and several compatible
services; the HTML page is the answer of a proxy or a wrong port.
"""

from __future__ import annotations

from collections.abc import Mapping

from providers.testing.faults import Fault

HTML_PAGE = "<!DOCTYPE html><html><head><title>Welcome</title></head><body><h1>It works!</h1></body></html>"


def s3_error(
    status: int,
    code: str,
    message: str,
    *,
    details: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    retry_after_s: float | None = None,
) -> Fault:
    inner = "".join(f"<{name}>{value}</{name}>" for name, value in (details or {}).items())
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{code}</Code><Message>{message}</Message>{inner}"
        "<RequestId>4442587FB7D0A2F9</RequestId><HostId>fault-proxy</HostId></Error>"
    )
    return Fault.status(status, body, headers=headers, retry_after_s=retry_after_s)


def invalid_access_key_id() -> Fault:
    return s3_error(403, "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.")


def signature_does_not_match() -> Fault:
    return s3_error(
        403,
        "SignatureDoesNotMatch",
        "The request signature we calculated does not match the signature you provided. Check your key.",
    )


def expired_token() -> Fault:
    return s3_error(400, "ExpiredToken", "The provided token has expired.")


def request_time_too_skewed(server_time: str = "2026-11-22T03:00:00Z") -> Fault:
    return s3_error(
        403,
        "RequestTimeTooSkewed",
        "The difference between the request time and the current time is too large.",
        details={
            "RequestTime": "20261122T010000Z",
            "ServerTime": server_time,
            "MaxAllowedSkewMilliseconds": "900000",
        },
    )


def unauthorized() -> Fault:
    return Fault.status(401, "")


def access_denied() -> Fault:
    return s3_error(403, "AccessDenied", "Access Denied")


def forbidden_without_words() -> Fault:
    """A 403 to HEAD carries no body."""
    return Fault.status(403, "")


def no_such_bucket(bucket: str = "missing") -> Fault:
    return s3_error(404, "NoSuchBucket", "The specified bucket does not exist", details={"BucketName": bucket})


def no_such_key(key: str = "missing") -> Fault:
    return s3_error(404, "NoSuchKey", "The specified key does not exist.", details={"Key": key})


def no_such_upload() -> Fault:
    return s3_error(
        404,
        "NoSuchUpload",
        "The specified upload does not exist. The upload ID may be invalid, or it may have been aborted.",
    )


def operation_aborted() -> Fault:
    return s3_error(409, "OperationAborted", "A conflicting conditional operation is currently in progress.")


def precondition_failed() -> Fault:
    return s3_error(
        412,
        "PreconditionFailed",
        "At least one of the pre-conditions you specified did not hold",
        details={"Condition": "If-None-Match"},
    )


def entity_too_large() -> Fault:
    return s3_error(400, "EntityTooLarge", "Your proposed upload exceeds the maximum allowed size")


def payload_too_large() -> Fault:
    """Answer of a web server in front of the service."""
    return Fault.status(413, HTML_PAGE, headers={"Content-Type": "text/html"})


def too_many_requests(retry_after_s: float | None = None) -> Fault:
    return s3_error(429, "TooManyRequests", "Too many requests", retry_after_s=retry_after_s)


def slow_down(retry_after_s: float | None = None) -> Fault:
    return s3_error(503, "SlowDown", "Please reduce your request rate.", retry_after_s=retry_after_s)


def service_unavailable(retry_after_s: float | None = None) -> Fault:
    return s3_error(503, "ServiceUnavailable", "Service is unable to handle request.", retry_after_s=retry_after_s)


def internal_error() -> Fault:
    return s3_error(500, "InternalError", "We encountered an internal error. Please try again.")


def bad_gateway() -> Fault:
    return Fault.status(502, HTML_PAGE, headers={"Content-Type": "text/html"})


def permanent_redirect(region: str = "eu-central-1", bucket: str = "bucket") -> Fault:
    """The bucket is in another region; a header names it too."""
    return s3_error(
        301,
        "PermanentRedirect",
        "The bucket you are attempting to access must be addressed using the specified endpoint.",
        details={"Endpoint": f"{bucket}.s3.{region}.amazonaws.com", "Bucket": bucket},
        headers={"x-amz-bucket-region": region},
    )


def authorization_header_malformed(region: str = "eu-central-1") -> Fault:
    return s3_error(
        400,
        "AuthorizationHeaderMalformed",
        f"The authorization header is malformed; the region 'us-east-1' is wrong; expecting '{region}'",
        details={"Region": region},
        headers={"x-amz-bucket-region": region},
    )


def quota_exceeded() -> Fault:
    return s3_error(403, "QuotaExceeded", "The quota of this user or bucket is exceeded.")


def cap_exceeded() -> Fault:
    """Backblaze's S3 API reports a reached cap with the code for a missing permission."""
    words = "Cannot upload files, storage cap exceeded. See the Caps & Alerts page to increase your cap."
    return s3_error(403, "AccessDenied", words)


def invalid_object_state() -> Fault:
    words = "The operation is not valid for the object's storage class"
    return s3_error(403, "InvalidObjectState", words, details={"StorageClass": "GLACIER"})


def bad_digest() -> Fault:
    return s3_error(400, "BadDigest", "The Content-MD5 you specified did not match what we received.")


def html_page(status: int = 200) -> Fault:
    """Answer of a server that is not S3."""
    return Fault.status(status, HTML_PAGE, headers={"Content-Type": "text/html"})
