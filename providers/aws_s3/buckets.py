"""Buckets: list, check, create."""

from __future__ import annotations

from xml.sax.saxutils import escape

from providers.aws_s3.client import S3Client, S3Request
from providers.contract.listing import Trail
from providers.errors import Conflict, InvalidConfiguration, InvalidName, NotFound, PermissionDenied
from providers.http.connections import Calls


def names(wire: S3Client) -> list[str]:
    """Names of all buckets that the keys may list. Raises ProviderError."""
    found: list[str] = []
    query: dict[str, str] = {}
    trail = Trail()
    while True:
        root = wire.ask(S3Request("ListBuckets", "GET", bucket="", query=query), Calls()).xml("ListAllMyBucketsResult")
        page = [item.findtext("Name") or "" for item in root.iterfind("Buckets/Bucket")]
        found += page
        token = root.findtext("ContinuationToken")
        if not token:
            return found
        trail = trail.step(token, brought=bool(page))
        query = {"continuation-token": token}


def check(wire: S3Client, prefix: str) -> None:
    """Check that the bucket can be listed. Raises ProviderError: NotFound only if S3 itself answered so, and not a
    web page in its place."""
    query = {"list-type": "2", "max-keys": "1", "prefix": prefix}
    try:
        wire.ask(S3Request("ListObjectsV2", "GET", query=query), Calls()).xml("ListBucketResult")
    except NotFound as error:
        if error.code:
            raise
        raise InvalidConfiguration(
            f"endpoint_url: the server there does not answer like S3: {error.message}",
            field="endpoint_url",
            hint="Check address and port, and any proxy in between.",
        ) from None


def create(wire: S3Client, name: str) -> None:
    """Does nothing if the bucket is already ours. Raises ProviderError: Conflict if another account owns it."""
    region = wire.endpoint.region
    body = b""
    if region != "us-east-1":
        inner = f"<LocationConstraint>{escape(region)}</LocationConstraint>"
        body = f"<CreateBucketConfiguration>{inner}</CreateBucketConfiguration>".encode()
    try:
        wire.ask(S3Request("CreateBucket", "PUT", bucket=name, body=body), Calls())
    except Conflict as error:
        if error.code != "BucketAlreadyOwnedByYou" and not _may_list(wire, name):
            raise Conflict(
                f"the bucket {name} already exists and is not yours", hint="Choose another name.", code=error.code
            ) from None
    except PermissionDenied as error:
        raise PermissionDenied(
            f"these keys may not create the bucket {name} ({error.code or 'refused'})",
            hint=f"Create {name} in the service's console, or use keys with the permission s3:CreateBucket. If the "
            "keys are limited to another bucket, set container to that bucket.",
            code=error.code,
        ) from None
    except InvalidConfiguration as error:
        if error.field == "container":
            raise InvalidName(f"{name!r} is not a valid bucket name") from None
        raise


def _may_list(wire: S3Client, bucket: str) -> bool:
    query = {"list-type": "2", "max-keys": "1"}
    try:
        wire.ask(S3Request("ListObjectsV2", "GET", bucket=bucket, query=query), Calls())
    except PermissionDenied:
        return False
    return True
