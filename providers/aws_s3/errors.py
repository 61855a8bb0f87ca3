"""S3 replies, and their translation into the errors of `providers.errors`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from xml.etree import ElementTree

from providers import errors
from providers.errors import InvalidConfiguration, ProviderError, RateLimited
from providers.http import mended_xml
from providers.http.errors import http_date, retry_after_s

_AUTHENTICATION: Final = (
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "ExpiredToken",
    "InvalidToken",
    "TokenRefreshRequired",
    "RequestTimeTooSkewed",
    "RequestExpired",
    "MissingAuthenticationToken",
    "MissingSecurityHeader",
    "InvalidSecurity",
    "NotSignedUp",
    "AuthFailure",
    "UnauthorizedAccess",
    "CredentialsNotSupported",
    "Unauthorized",
)
_BY_CODE: Final[dict[str, type[ProviderError]]] = {
    **dict.fromkeys(_AUTHENTICATION, errors.Authentication),
    **dict.fromkeys(["AccessDenied", "AllAccessDisabled", "AccountProblem", "InvalidPayer"], errors.PermissionDenied),
    **dict.fromkeys(["NoSuchKey", "NoSuchBucket", "NoSuchUpload", "NoSuchVersion"], errors.NotFound),
    **dict.fromkeys(
        ["PreconditionFailed", "ConditionalRequestConflict", "OperationAborted", "BucketAlreadyExists"], errors.Conflict
    ),
    **dict.fromkeys(["BucketAlreadyOwnedByYou"], errors.Conflict),
    **dict.fromkeys(["InvalidObjectState", "RestoreAlreadyInProgress"], errors.Unsupported),
    **dict.fromkeys(["QuotaExceeded", "XMinioAdminBucketQuotaExceeded", "XMinioStorageFull"], errors.QuotaExceeded),
    **dict.fromkeys(["TooManyBuckets", "ServiceQuotaExceeded", "StorageFull"], errors.QuotaExceeded),
    **dict.fromkeys(["SlowDown", "SlowDownRead", "SlowDownWrite", "TooManyRequests", "Throttling"], errors.RateLimited),
    **dict.fromkeys(["RequestLimitExceeded", "BandwidthLimitExceeded", "ServiceUnavailable"], errors.RateLimited),
    **dict.fromkeys(["RequestTimeout", "IncompleteBody"], errors.Transient),
    "InternalError": errors.Transient,
    **dict.fromkeys(["BadDigest", "InvalidDigest", "XAmzContentSHA256Mismatch", "InvalidPart"], errors.Integrity),
    **dict.fromkeys(["XAmzContentChecksumMismatch", "InvalidPartOrder"], errors.Integrity),
    **dict.fromkeys(["EntityTooLarge", "EntityTooSmall", "NotImplemented"], errors.Unsupported),
    **dict.fromkeys(["KeyTooLongError", "InvalidURI", "XMinioInvalidObjectName"], errors.InvalidName),
}
_BY_STATUS: Final[dict[int, type[ProviderError]]] = {
    401: errors.Authentication,
    403: errors.PermissionDenied,
    404: errors.NotFound,
    405: errors.Unsupported,
    408: errors.Transient,
    409: errors.Conflict,
    412: errors.Conflict,
    413: errors.Unsupported,
    416: errors.Integrity,
    429: errors.RateLimited,
    501: errors.Unsupported,
    503: errors.RateLimited,
    507: errors.QuotaExceeded,
}
_OTHER_ROOTS: Final = {
    "InitiateMultipartUploadResult": "InitiateMultipartUpload",
    "ListPartsResult": "ListPartsResponse",
}
"""Documented root elements -> names used by other servers: gofakes3 (rclone) for the first, moto for the second."""
_MAX_TEXT: Final = 400
_MAX_CODE: Final = 100
_ERROR_WITHIN: Final = 1024
"""An error's tag is at the start of the body, after a declaration and perhaps a comment."""
_OWN_MESSAGES: Final[dict[str, tuple[str, str]]] = {
    "InvalidObjectState": (
        "this object is archived; restore it first",
        "Restore it in the service's console or with `aws s3api restore-object`, which takes minutes to 48 hours; "
        "then download it again.",
    ),
    "RestoreAlreadyInProgress": (
        "this object is archived and is being restored now",
        "The restore takes minutes to 48 hours. Download it again afterwards.",
    ),
}
"""Codes whose own message does not say what to do."""
_KMS_HINT: Final = (
    "The bucket is encrypted with a KMS key: check that it is enabled, in this region, and usable by these credentials "
    "(kms:GenerateDataKey to upload, kms:Decrypt to download)."
)
_SKEW_HINT: Final = "Set this machine's clock (timedatectl set-ntp true); the credentials may be valid."
_SIZE_HINT: Final = "Set a smaller upload_chunk_size; a proxy in front of the service may limit requests too."
_LACK_HINT: Final = "This server lacks an S3 function that is needed here: update it, or choose another."
_CAP: Final = re.compile(r"\bcap exceeded\b", re.IGNORECASE)
"""Backblaze's S3 API reports a reached cap with the code for a missing permission."""
_CAP_HINT: Final = "Raise the cap in the console (Backblaze: Caps & Alerts); a daily cap is reset at midnight GMT."
_REGION: Final = re.compile(r"[A-Za-z0-9-]{1,63}")
_REGION_IN_TEXT: Final = re.compile(r"expecting '([a-z0-9-]+)'")
_REGION_IN_HOST: Final = re.compile(r"\.s3[.-]([a-z0-9-]+)\.amazonaws\.com")


@dataclass(frozen=True)
class S3Reply:
    """A complete answer. Header names are lower-case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""

    def xml(self, root: str) -> ElementTree.Element:
        """The body as XML without namespaces. `root` is the documented root element of the call.
        Raises InvalidConfiguration if the answer is not from S3, Integrity if its XML is broken."""
        found = parsed(self.body)
        if found is None and mended_xml.begins_as(self.body, root):
            raise errors.Integrity(
                f"the server's answer ({root}) is not valid XML: it breaks off, or a name in it is not encoded",
                hint="Look for a name with '<' or control characters, rename it with another program, and retry.",
            )
        if found is None or found.tag not in (root, _OTHER_ROOTS.get(root)):
            raise not_s3(self)
        return found

    def listing(self, root: str) -> tuple[ElementTree.Element, list[ProviderError]]:
        """As `xml`, for a listing. If it cannot be parsed: the readable part, and the error that cut it short."""
        try:
            return self.xml(root), []
        except errors.Integrity as error:
            return mended_xml.readable(self.body, root, parsed), [error]

    @property
    def is_error(self) -> bool:
        """True if the body is an error, whatever the status."""
        if self.body.lstrip()[:1] != b"<" or b"Error" not in self.body[:_ERROR_WITHIN]:
            return False
        found = parsed(self.body)
        return found is not None and found.tag == "Error"


@dataclass(frozen=True)
class Where:
    """The request's target as named in error messages. Contains no secrets."""

    endpoint: str
    bucket: str
    region: str
    access_key: str = ""


def parsed(body: bytes) -> ElementTree.Element | None:
    try:
        root = ElementTree.fromstring(body)
    except (ElementTree.ParseError, LookupError, ValueError):  # the last two: unknown encodings
        return mended_xml.parsed(body)
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    return root if root.tag.lower() != "html" else None


def not_s3(reply: S3Reply) -> ProviderError:
    kind = reply.headers.get("content-type", "no content type").partition(";")[0]
    return InvalidConfiguration(
        f"endpoint_url: the server there does not answer like S3 (HTTP {reply.status}, {kind})",
        field="endpoint_url",
        hint="Check address and port: this may be a web page, a login portal or the service's console.",
    )


def failure(reply: S3Reply, where: Where, now_s: float) -> ProviderError:
    """Translates a reply with status 300 or above."""
    root = parsed(reply.body) if reply.body else None
    code = (root.findtext("Code") or "").strip()[:_MAX_CODE] if root is not None else ""
    text = " ".join((root.findtext("Message") or "").split())[:_MAX_TEXT] if root is not None else ""
    words = f"{text.rstrip('.')} ({code})" if text and code else code or f"HTTP {reply.status}"
    if code == "RequestTimeTooSkewed":
        return errors.Authentication(_skew(reply, root, now_s), hint=_SKEW_HINT, code=code)
    if code == "NoSuchBucket":
        return errors.NotFound(
            f"the bucket {where.bucket} does not exist at {where.endpoint}",
            hint="Check the name in container, or create the bucket.",
            code=code,
        )
    if code in _OWN_MESSAGES:
        words, hint = _OWN_MESSAGES[code]
        return _BY_CODE[code](f"{words} ({code})", hint=hint, code=code)
    if reply.status < 500 and (code.startswith("KMS.") or ("kms:" in text and code == "AccessDenied")):
        return errors.PermissionDenied(f"not allowed in bucket {where.bucket}: {words}", hint=_KMS_HINT, code=code)
    if code == "AccessDenied" and _CAP.search(text):
        return errors.QuotaExceeded(f"{where.endpoint} answers: {words}", hint=_CAP_HINT, code=code)
    configuration = _configuration(reply, root, code, words, where)
    if configuration is not None:
        return configuration
    cls = _BY_CODE.get(code) or _BY_STATUS.get(reply.status)
    if cls is None and reply.body and root is None and reply.status < 500:
        return not_s3(reply)
    return _error(cls or (errors.Transient if reply.status >= 500 else ProviderError), words, code, reply, where)


def of_code(code: str) -> type[ProviderError]:
    """Error class for a code inside a successful answer."""
    return _BY_CODE.get(code, ProviderError)


def _error(cls: type[ProviderError], words: str, code: str, reply: S3Reply, where: Where) -> ProviderError:
    if cls is RateLimited:
        seconds = retry_after_s(reply.headers)
        return RateLimited(f"{where.endpoint} asks to slow down: {words}", code=code, retry_after_s=seconds)
    if cls is errors.Authentication:
        hint = {
            "InvalidAccessKeyId": "Check access_key: this service does not know it.",
            "SignatureDoesNotMatch": "Check secret_key: it does not belong to this access key.",
            "ExpiredToken": "The temporary credentials have expired: fetch new ones.",
        }.get(code, "")
        name = f" {where.access_key}" if where.access_key else ""
        return cls(f"the access key{name} was not accepted: {words}", hint=hint, code=code)
    if cls is errors.PermissionDenied:
        return cls(f"not allowed in bucket {where.bucket}: {words}", hint=_rights_hint(where.bucket), code=code)
    if cls is errors.Unsupported:
        too_large = code == "EntityTooLarge" or reply.status == 413
        return cls(
            f"{where.endpoint} does not support this: {words}", hint=_SIZE_HINT if too_large else _LACK_HINT, code=code
        )
    return cls(f"{where.endpoint} answers: {words}", code=code)


def _rights_hint(bucket: str) -> str:
    """Hint for both causes: the service does not say which one applies."""
    return (
        f"Give these keys permission to list, read, write and delete in {bucket}. If they are limited to another "
        "bucket, set container to that bucket."
    )


def _configuration(
    reply: S3Reply, root: ElementTree.Element | None, code: str, words: str, where: Where
) -> ProviderError | None:
    if code == "InvalidBucketName":
        return InvalidConfiguration(f"container: {where.bucket!r} is not a valid bucket name", field="container")
    moved = code in {"PermanentRedirect", "TemporaryRedirect", "AuthorizationHeaderMalformed", "IncorrectEndpoint"}
    if not (moved or code == "IllegalLocationConstraintException" or reply.status in (301, 302, 307, 308)):
        return None
    region = _right_region(reply, root)
    if not region:
        return InvalidConfiguration(
            f"region: {where.endpoint} does not serve this from {where.region}: {words}",
            field="region" if root is not None else "endpoint_url",
            hint="Check region and endpoint_url.",
        )
    return InvalidConfiguration(
        f"region: the bucket {where.bucket} lives in {region}, not in {where.region}",
        field="region",
        hint=f"Set region to {region}.",
    )


def _right_region(reply: S3Reply, root: ElementTree.Element | None) -> str:
    regions = [reply.headers.get("x-amz-bucket-region", "")]
    if root is not None:
        in_text = _REGION_IN_TEXT.search(root.findtext("Message") or "")
        in_host = _REGION_IN_HOST.search(root.findtext("Endpoint") or "")
        found = in_text or in_host
        regions += [root.findtext("Region") or "", found[1] if found else ""]
    return next((name for name in regions if _REGION.fullmatch(name)), "")


def _skew(reply: S3Reply, root: ElementTree.Element | None, now_s: float) -> str:
    server = None
    try:
        stamp = (root.findtext("ServerTime") or "") if root is not None else ""
        server = datetime.fromisoformat(stamp).timestamp()
    except ValueError:
        server = http_date(reply.headers.get("date", ""))
    if server is None:
        return "the clocks of this machine and of the service are too far apart"
    minutes = round(abs(now_s - server) / 60)
    side = "ahead of" if now_s > server else "behind"
    return f"the clock of this machine is {minutes // 60} h {minutes % 60} min {side} that of the service"
