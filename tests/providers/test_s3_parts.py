"""Parts of the S3 service that need no server: signature, errors, headers, names, settings."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from datetime import UTC, datetime

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from providers import errors
from providers.aws_s3 import errors as replies
from providers.aws_s3 import objects
from providers.aws_s3.client import EMPTY_SHA256, Keys, encoded_path, encoded_query, sign
from providers.aws_s3.discovery import ServerFacts
from providers.aws_s3.errors import S3Reply, Where
from providers.aws_s3.provider import S3Provider
from providers.contract.upload import UploadRequest
from providers.http import errors as http_errors
from providers.secret import Secret

WHERE = Where("https://s3.example.net", "bucket", "us-east-1", "KEYID")
NOW = 1_795_000_000.0  # 2026-11-18T11:06:40Z
FACTS = ServerFacts()


@pytest.mark.parametrize("token", [None, "session/token=="])
@pytest.mark.parametrize(
    ("method", "path", "query"),
    [
        ("GET", "/bucket", {"list-type": "2", "prefix": "a b/ü+%&=", "delimiter": "/", "encoding-type": "url"}),
        ("PUT", "/bucket/two words/100% (a+b)~'*!/\u00fc\n\\.txt", {"partNumber": "3", "uploadId": "a/b+c=="}),
        ("POST", "/bucket/x", {"uploads": ""}),
        ("DELETE", "/", {}),
    ],
)
def test_the_signature_is_botocore_s(monkeypatch, method, path, query, token):
    headers = {"host": "s3.example.net:9000", "content-md5": "abc==", "x-amz-meta-mtime": "12.5"}
    ours = dict(headers)
    keys = Keys("KEYID", Secret("wJalrXUtnFEMI/K7MDENG"), Secret(token) if token else None)
    sign(keys, "eu-central-1", NOW, method, encoded_path(path), encoded_query(query), ours, EMPTY_SHA256)

    url = f"https://s3.example.net:9000{encoded_path(path)}?{encoded_query(query)}"
    request = AWSRequest(method, url, headers={name: value for name, value in headers.items() if name != "host"})
    request.context["payload_signing_enabled"] = True
    frozen = Credentials("KEYID", "wJalrXUtnFEMI/K7MDENG", token).get_frozen_credentials()
    theirs = S3SigV4Auth(frozen, "s3", "eu-central-1")
    monkeypatch.setattr(theirs, "payload", lambda request: EMPTY_SHA256)
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda: datetime.fromtimestamp(NOW, UTC))
    theirs.add_auth(request)
    assert ours["authorization"] == request.headers["Authorization"]


def failure(status, body=b"", **headers):
    return replies.failure(
        S3Reply(status, {name.replace("_", "-"): value for name, value in headers.items()}, body), WHERE, NOW
    )


def xml(code, message="No.", **more):
    inner = "".join(f"<{name}>{value}</{name}>" for name, value in more.items())
    return f"<Error xmlns='http://s3.amazonaws.com/doc/'><Code>{code}</Code><Message>{message}</Message>{inner}</Error>".encode()


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (403, "InvalidAccessKeyId", errors.Authentication),
        (403, "SignatureDoesNotMatch", errors.Authentication),
        (400, "ExpiredToken", errors.Authentication),
        (403, "AccessDenied", errors.PermissionDenied),
        (404, "NoSuchKey", errors.NotFound),
        (404, "NoSuchUpload", errors.NotFound),
        (412, "PreconditionFailed", errors.Conflict),
        (409, "OperationAborted", errors.Conflict),
        (403, "QuotaExceeded", errors.QuotaExceeded),
        (503, "SlowDown", errors.RateLimited),
        (500, "InternalError", errors.Transient),
        (400, "RequestTimeout", errors.Transient),
        (400, "BadDigest", errors.Integrity),
        (400, "XAmzContentSHA256Mismatch", errors.Integrity),
        (400, "EntityTooLarge", errors.Unsupported),
        (400, "InvalidBucketName", errors.InvalidConfiguration),
        (400, "KeyTooLongError", errors.InvalidName),
        (400, "NeverHeardOf", errors.ProviderError),
    ],
)
def test_each_code_has_its_class(status, code, expected):
    error = failure(status, xml(code))
    assert type(error) is expected
    assert code in error.message or "bucket" in error.message


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (401, errors.Authentication),
        (403, errors.PermissionDenied),
        (404, errors.NotFound),
        (412, errors.Conflict),
        (429, errors.RateLimited),
        (500, errors.Transient),
        (502, errors.Transient),
        (503, errors.RateLimited),
        (507, errors.QuotaExceeded),
    ],
)
def test_a_status_without_a_body_has_its_class(status, expected):
    assert type(failure(status)) is expected


def test_a_web_page_is_not_s3():
    error = failure(400, b"<!DOCTYPE html><html><body>Hello</body></html>", content_type="text/html; charset=utf-8")
    assert isinstance(error, errors.InvalidConfiguration)
    assert error.field == "endpoint_url"
    assert "does not answer like S3 (HTTP 400, text/html)" in error.message
    assert type(failure(502, b"<html>bad gateway</html>")) is errors.Transient


@pytest.mark.parametrize(
    ("server_time", "minutes"),
    [("2026-11-18T10:16:40Z", "0 h 50 min ahead of"), ("2026-11-18T13:11:40Z", "2 h 5 min behind")],
)
def test_a_skewed_clock_is_reported_with_its_difference(server_time, minutes):
    error = failure(403, xml("RequestTimeTooSkewed", ServerTime=server_time))
    assert isinstance(error, errors.Authentication)
    assert minutes in error.message
    assert "timedatectl" in error.hint


@pytest.mark.parametrize(
    ("status", "body", "headers"),
    [
        (301, xml("PermanentRedirect", Endpoint="bucket.s3.eu-west-1.amazonaws.com"), {}),
        (400, xml("AuthorizationHeaderMalformed", Region="eu-west-1"), {}),
        (400, xml("AuthorizationHeaderMalformed", "the region 'x' is wrong; expecting 'eu-west-1'"), {}),
        (301, b"", {"x_amz_bucket_region": "eu-west-1"}),
    ],
)
def test_a_wrong_region_is_reported_with_the_right_one(status, body, headers):
    error = failure(status, body, **headers)
    assert isinstance(error, errors.InvalidConfiguration)
    assert error.field == "region"
    assert "lives in eu-west-1, not in us-east-1" in error.message


def test_a_missing_bucket_is_named():
    error = failure(404, xml("NoSuchBucket"))
    assert isinstance(error, errors.NotFound)
    assert error.message == "the bucket bucket does not exist at https://s3.example.net"


def test_retry_after_in_seconds_and_as_a_date():
    assert failure(503, xml("SlowDown"), retry_after="7").retry_after_s == 7
    date, later = "Sun, 22 Nov 2026 10:00:00 GMT", "Sun, 22 Nov 2026 10:00:30 GMT"
    assert failure(503, xml("SlowDown"), retry_after=later, date=date).retry_after_s == 30
    assert failure(503, xml("SlowDown"), retry_after="soon").retry_after_s is None


def certificate_error():
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_message, error.verify_code = "self-signed certificate", 18
    return error


@pytest.mark.parametrize(
    ("trouble", "expected", "words"),
    [
        (socket.gaierror(-2, "Name or service not known"), errors.Transient, "cannot be resolved"),
        (ConnectionRefusedError(111, "refused"), errors.Transient, "refuses the connection"),
        (TimeoutError("timed out"), errors.Transient, "no byte has moved for 30 s"),
        (ConnectionResetError(104, "reset by peer"), errors.Transient, "broke"),
        (http.client.RemoteDisconnected("closed"), errors.Transient, "broke"),
        (http.client.BadStatusLine("SSH-2.0"), errors.Transient, "does not speak HTTP"),
        (certificate_error(), errors.InvalidConfiguration, "is not trusted: self-signed certificate"),
    ],
)
def test_each_broken_connection_has_its_message_and_hint(trouble, expected, words):
    error = http_errors.connection_failure(trouble, "s3.example.net", 443, 30)
    assert type(error) is expected
    assert words in error.message
    assert error.hint


def test_only_etags_in_md5_form_count_as_md5():
    md5 = "0" * 31 + "f"
    assert objects.checksums_of({"etag": f'"{md5}"'}, FACTS) == {"md5": md5}
    assert objects.checksums_of({"etag": f'"{md5}-12"'}, FACTS) == {"md5-composite": f"{md5}-12"}
    for name, value in [
        ("x-amz-server-side-encryption", "aws:kms"),
        ("x-amz-server-side-encryption", "aws:kms:dsse"),
        ("x-amz-server-side-encryption-customer-algorithm", "AES256"),
    ]:
        assert objects.checksums_of({"etag": f'"{md5}"', name: value}, FACTS) == {}
    assert objects.checksums_of({"etag": f'"{md5}"', "x-amz-server-side-encryption": "AES256"}, FACTS)
    assert objects.checksums_of({"etag": f'"{md5}"'}, ServerFacts(etag_is_md5=False)) == {}
    assert objects.checksums_of({"etag": f'"{md5}-2"'}, ServerFacts(composite_is_md5=False)) == {}
    assert objects.checksums_of({"etag": '"not-a-digest"'}, FACTS) == {}


def test_checksums_in_base64_become_hex():
    digest = "ab" * 32
    encoded = objects.base64_of(digest)
    assert objects.checksums_of({"x-amz-checksum-sha256": encoded}, FACTS) == {"sha256": digest}
    assert objects.checksums_of({"x-amz-checksum-sha256": f"{encoded}-3"}, FACTS) == {"sha256-composite": f"{digest}-3"}
    for wrong in ("***", f"*{encoded}", encoded[:-2], f"{encoded}{encoded}", f"{encoded}-", f"{encoded}-x"):
        assert objects.checksums_of({"x-amz-checksum-sha256": wrong}, FACTS) == {}


@pytest.mark.parametrize("mtime_ns", [0, 1, 1_700_000_000_123_456_789, -1_500_000_000])
def test_an_mtime_survives_the_round_trip(mtime_ns):
    request = UploadRequest(key="x", size_bytes=1, part_size_bytes=1, mtime_ns=mtime_ns)
    headers = objects.metadata_headers(request)
    assert objects.from_headers("x", headers, FACTS, 1).mtime_ns == mtime_ns
    assert "e" not in headers["x-amz-meta-mtime"].lower()


@pytest.mark.parametrize(
    "text", ["yesterday", "NaN", "sNaN", "1e999999", "1e999999999", "-1e999999999", "9" * 5000, "1_0", "Infinity", ""]
)
def test_an_invalid_mtime_of_another_program_is_ignored(text):
    assert objects.from_headers("x", {"x-amz-meta-mtime": text}, FACTS, 1).mtime_ns is None


@pytest.mark.parametrize("key", ["", "a/../b", "..", "./a", "a\0b", "\udce9", "x" * 1025])
def test_names_that_s3_cannot_hold(key):
    with pytest.raises(errors.InvalidName):
        objects.checked_key("", key)


def test_the_prefix_counts_towards_the_length_of_a_name():
    assert objects.checked_key("p/", "x" * 1022)
    with pytest.raises(errors.InvalidName):
        objects.checked_key("p/", "x" * 1023)


@pytest.mark.parametrize("key", ["/a", "a//b", "//"])
def test_names_that_cannot_be_restored_are_read_but_not_created(key):
    with pytest.raises(errors.InvalidName):
        objects.checked_new_key("", key)
    assert objects.checked_key("", key) == key


def test_a_listing_is_decoded_only_when_it_is_encoded():
    body = (
        "<ListBucketResult><IsTruncated>false</IsTruncated>{}<Contents><Key>p/a+b%2520c</Key><Size>3</Size>"
        "<LastModified>2026-11-22T10:00:00.000Z</LastModified><ETag>&quot;e&quot;</ETag></Contents>"
        "<Contents><Key>p/</Key><Size>0</Size></Contents>"
        "<CommonPrefixes><Prefix>p/d/</Prefix></CommonPrefixes></ListBucketResult>"
    )
    for encoding, key in [("<EncodingType>url</EncodingType>", "a b%20c"), ("", "a+b%2520c")]:
        page = objects.page(S3Reply(200, {}, body.format(encoding).encode()).xml("ListBucketResult"), "p/")
        (file,) = page.files
        assert (file.key, file.size_bytes, file.etag, page.prefixes) == (key, 3, "e", ("d/",))


def test_a_truncated_page_without_a_token_is_never_taken_for_the_end():
    body = b"<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>"
    with pytest.raises(errors.Unsupported):
        objects.page(S3Reply(200, {}, body).xml("ListBucketResult"), "")


def make(**values):
    return S3Provider({"container": "bucket", "access_key": "KEYID", "secret_key": "s", **values})


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"endpoint_url": "s3.example.net"}, "endpoint_url"),
        ({"endpoint_url": "ftp://s3.example.net"}, "endpoint_url"),
        ({"endpoint_url": "https://user:pw@s3.example.net"}, "endpoint_url"),
        ({"endpoint_url": "https://s3.example.net:port"}, "endpoint_url"),
        ({"prefix": "a/../b"}, "prefix"),
        ({"addressing_style": "sideways"}, "addressing_style"),
        ({"secret_key": None}, "secret_key"),
    ],
)
def test_wrong_settings_are_named(values, field):
    with pytest.raises(errors.InvalidConfiguration) as caught:
        make(**values)
    assert caught.value.field == field
    assert "pw" not in caught.value.message


@pytest.mark.parametrize(
    ("values", "url", "virtual"),
    [
        ({}, "https://s3.us-east-1.amazonaws.com", True),
        ({"region": "cn-north-1"}, "https://s3.cn-north-1.amazonaws.com.cn", True),
        ({"container": "with.dots"}, "https://s3.us-east-1.amazonaws.com", False),
        ({"addressing_style": "path"}, "https://s3.us-east-1.amazonaws.com", False),
        ({"endpoint_url": "https://s3.example.net/"}, "https://s3.example.net", False),
        ({"endpoint_url": "https://s3.example.net", "addressing_style": "virtual"}, "https://s3.example.net", True),
    ],
)
def test_the_address_of_a_bucket(values, url, virtual):
    endpoint = make(**values)._wire.endpoint
    assert (endpoint.url, endpoint.virtual) == (url, virtual)


def test_the_location_distinguishes_providers_and_contains_no_secret():
    one = make(secret_key="S3CR3T", prefix="/a/").location
    assert one == "aws_s3 AWS default region bucket=bucket prefix=a/ id=KEYID"
    assert one != make(prefix="b").location
    assert make(endpoint_url="http://a:1").location != make(endpoint_url="http://b:1").location


def test_username_and_password_set_the_credential_pair():
    provider = S3Provider({"container": "bucket", "username": "KEYID", "password": "S3CR3T"})
    assert provider._keys() == Keys("KEYID", Secret("S3CR3T"))
    assert "S3CR3T" not in repr(provider._keys())


@pytest.fixture
def aws_files(tmp_path, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    (tmp_path / "config").write_text("[profile backup]\nregion = eu-west-3\n")
    (tmp_path / "credentials").write_text("[backup]\naws_access_key_id = PROFILEKEY\naws_secret_access_key = S3CR3T\n")


def test_keys_and_region_of_a_profile(aws_files):
    provider = S3Provider({"container": "bucket", "profile": "backup"})
    assert provider._keys() == Keys("PROFILEKEY", Secret("S3CR3T"))
    assert provider._wire.endpoint.url == "https://s3.eu-west-3.amazonaws.com"
    assert provider.location.endswith("id=profile backup")


def test_keys_of_the_environment(aws_files, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "ENVKEY")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "S3CR3T")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "T0KEN")
    assert S3Provider({"container": "bucket"})._keys() == Keys("ENVKEY", Secret("S3CR3T"), Secret("T0KEN"))


def test_no_keys_anywhere(aws_files):
    with pytest.raises(errors.Authentication, match="AWS chain"):
        S3Provider({"container": "bucket"}).scan()


def test_a_missing_profile(aws_files):
    with pytest.raises(errors.InvalidConfiguration) as caught:
        S3Provider({"container": "bucket", "profile": "nobody"}).scan()
    assert caught.value.field == "profile"


@pytest.mark.parametrize("values", [{"profile": "backup"}, {}])
def test_unreadable_files_of_the_chain(aws_files, tmp_path, values):
    (tmp_path / "config").write_text("[profile backup\nregion=")
    with pytest.raises(errors.InvalidConfiguration, match="cannot be read") as caught:
        S3Provider({"container": "bucket", **values}).scan()
    assert caught.value.field == "profile"


def test_credentials_that_are_still_expired_after_renewal(aws_files, tmp_path):
    keys = {
        "Version": 1, "AccessKeyId": "OLDKEY", "SecretAccessKey": "S3CR3T", "SessionToken": "T0KEN",
        "Expiration": "2020-01-01T00:00:00Z",
    }  # fmt: skip
    (tmp_path / "keys.json").write_text(json.dumps(keys))
    (tmp_path / "config").write_text(f"[profile backup]\ncredential_process = cat {tmp_path / 'keys.json'}\n")
    (tmp_path / "credentials").unlink()
    with pytest.raises(errors.Authentication, match="gave no credentials") as caught:
        S3Provider({"container": "bucket", "profile": "backup"}).scan()
    assert "S3CR3T" not in repr(caught.value)
    assert caught.value.hint
