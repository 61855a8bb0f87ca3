"""The real S3 servers behind the fault proxy, used by a plain boto3 client."""

from __future__ import annotations

import contextlib

import pytest
from botocore.exceptions import ClientError

from providers.testing.fault_proxy import FaultProxy
from tests.servers import s3_errors
from tests.servers.s3_requests import (
    abort_multipart,
    complete_multipart,
    create_multipart,
    get_object,
    list_objects,
    put_object,
    put_part,
)
from tests.servers.s3_server import S3Server, client

PART = 5 << 20


@pytest.fixture(params=["rclone", "moto"])
def server(request: pytest.FixtureRequest) -> S3Server:
    return request.getfixturevalue(f"{request.param}_s3")  # type: ignore[no-any-return]


def test_every_kind_of_request_passes_the_proxy_with_its_signature(server):
    bucket = server.new_bucket()
    with FaultProxy(server.port) as proxy, contextlib.closing(client(proxy.port)) as s3:
        s3.put_object(Bucket=bucket, Key="a/ä b", Body=b"small")
        upload = s3.create_multipart_upload(Bucket=bucket, Key="big")["UploadId"]
        big = {"Bucket": bucket, "Key": "big", "UploadId": upload}
        tags = {number: s3.upload_part(**big, PartNumber=number, Body=b"x" * PART)["ETag"] for number in (1, 2)}
        parts = [{"PartNumber": number, "ETag": tag} for number, tag in tags.items()]
        s3.complete_multipart_upload(**big, MultipartUpload={"Parts": parts})
        assert s3.get_object(Bucket=bucket, Key="a/ä b")["Body"].read() == b"small"
        assert {item["Key"] for item in s3.list_objects_v2(Bucket=bucket)["Contents"]} == {"a/ä b", "big"}
        other = s3.create_multipart_upload(Bucket=bucket, Key="left")["UploadId"]
        assert server.unfinished_uploads(bucket) == [("left", other)]
        s3.abort_multipart_upload(Bucket=bucket, Key="left", UploadId=other)

        kinds = [put_object("a/ä b"), put_part(1), put_part(2), complete_multipart(), abort_multipart()]
        kinds += [get_object("a/ä b"), list_objects()]
        assert [proxy.count(kind) for kind in kinds] == [1] * len(kinds)
        assert proxy.count(create_multipart()) == 2
        assert proxy.body_bytes(put_part()) == 2 * PART
    assert server.objects(bucket) == {"a/ä b": b"small", "big": b"x" * 2 * PART}
    assert server.unfinished_uploads(bucket) == []


def test_rclone_checks_the_signature_made_for_the_proxy(rclone_s3, rclone_proxy):
    with (
        contextlib.closing(client(rclone_proxy.port, secret_key="another")) as s3,
        pytest.raises(ClientError, match="SignatureDoesNotMatch"),
    ):
        s3.list_buckets()


@pytest.mark.few(2)
@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (s3_errors.access_denied(), "AccessDenied"),
        (s3_errors.slow_down(retry_after_s=3), "SlowDown"),
        (s3_errors.permanent_redirect(), "PermanentRedirect"),
        (s3_errors.precondition_failed(), "PreconditionFailed"),
        (s3_errors.quota_exceeded(), "QuotaExceeded"),
    ],
)
def test_canned_errors_are_read_by_the_real_client(rclone_s3, rclone_proxy, answer, code):
    bucket = rclone_s3.new_bucket()
    rclone_proxy.fault(answer, when=put_object(), times=None)  # botocore follows one redirect itself
    with contextlib.closing(client(rclone_proxy.port)) as s3, pytest.raises(ClientError) as caught:
        s3.put_object(Bucket=bucket, Key="x", Body=b"data")
    assert caught.value.response["Error"]["Code"] == code
    assert rclone_s3.keys(bucket) == set()
