"""On the command line, a proxy that drops or changes the object size reported by S3 never empties a restore."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from backup.cli.diagnostics import ExitCode
from backup.system.paths import Paths
from providers.testing.fault_proxy import FaultProxy
from providers.testing.faults import Edit, Fault, Reply
from providers.testing.support import content
from tests.cli.conftest import Cli, s3_instance, write_config
from tests.processes import stop_worker
from tests.servers import hostile
from tests.servers.s3_requests import get_object, list_objects
from tests.servers.s3_server import S3Server

PART = 5 << 20


@pytest.fixture
def multipart(
    paths: Paths, moto_s3: S3Server, moto_proxy: FaultProxy, aws_credentials: None
) -> Iterator[tuple[str, bytes]]:
    """An instance `s3` behind the proxy, with an object `x` of two parts; its bucket and content."""
    bucket = moto_s3.new_bucket()
    data = content(PART + 1000)
    begun = moto_s3.admin.create_multipart_upload(Bucket=bucket, Key="x")
    where = {"Bucket": bucket, "Key": "x", "UploadId": begun["UploadId"]}
    bodies = [data[:PART], data[PART:]]
    sent = [moto_s3.admin.upload_part(**where, PartNumber=n, Body=body) for n, body in enumerate(bodies, 1)]
    parts = [{"PartNumber": n, "ETag": part["ETag"]} for n, part in enumerate(sent, 1)]
    moto_s3.admin.complete_multipart_upload(**where, MultipartUpload={"Parts": parts})
    write_config(paths, s3=s3_instance(moto_s3, bucket, port=moto_proxy.port, timeout=10))
    yield bucket, data
    if paths.journal_file.exists():
        assert stop_worker(paths)


def test_a_head_without_a_length_restores_the_whole_object(
    cli: Cli, multipart: tuple[str, bytes], moto_proxy: FaultProxy, tmp_path: Path
):
    target = tmp_path / "x"
    target.write_bytes(b"an older copy")
    rule = moto_proxy.fault(hostile.odd(hostile.without("Content-Length")), hostile.heads, times=None)
    result = cli("download", "--provider", "s3", "x", "--to", str(target))
    assert result.code == 0, result.err
    assert rule.hits
    assert target.read_bytes() == multipart[1]


def no_length_anywhere(proxy: FaultProxy, *edits: Edit) -> None:
    """HEAD without a length, ranges of an unknown total, and the whole object in chunks."""
    proxy.fault(hostile.odd(hostile.without("Content-Length")), hostile.heads, times=None)
    unknown = hostile.respelt("Content-Range", lambda value: f"{value.partition('/')[0]}/*")
    brings_bytes = get_object()
    proxy.fault(hostile.odd(unknown, *edits, hostile.chunked()), brings_bytes, times=None)


def test_an_object_of_unknown_length_is_restored_to_its_proven_end(
    cli: Cli, multipart: tuple[str, bytes], moto_proxy: FaultProxy, tmp_path: Path
):
    target = tmp_path / "x"
    target.write_bytes(b"an older copy")
    no_length_anywhere(moto_proxy)
    result = cli("download", "--provider", "s3", "x", "--to", str(target))
    assert result.code == 0, result.err
    assert target.read_bytes() == multipart[1]


@pytest.mark.parametrize("why", ["it ends elsewhere", "no listing"])
def test_an_object_of_unknown_length_without_a_proven_end_leaves_the_older_copy(
    cli: Cli, multipart: tuple[str, bytes], moto_proxy: FaultProxy, tmp_path: Path, why: str
):
    target = tmp_path / "x"
    target.write_bytes(b"an older copy")
    no_length_anywhere(moto_proxy, hostile.body(lambda data: data + b"x" if why == "it ends elsewhere" else data))
    if why == "no listing":
        moto_proxy.fault(Fault.status(403), list_objects(), times=None)
    result = cli("download", "--provider", "s3", "x", "--to", str(target))
    assert result.code == (ExitCode.INTEGRITY if why == "it ends elsewhere" else ExitCode.UNSUPPORTED), result.err
    assert target.read_bytes() == b"an older copy"


@pytest.mark.parametrize("length", ["0", "1000"])
def test_a_head_with_another_length_leaves_the_older_copy(
    cli: Cli, multipart: tuple[str, bytes], moto_proxy: FaultProxy, tmp_path: Path, length: str
):
    target = tmp_path / "x"
    target.write_bytes(b"an older copy")
    moto_proxy.fault(hostile.odd(hostile.having("Content-Length", length)), hostile.heads, times=None)
    result = cli("download", "--provider", "s3", "x", "--to", str(target))
    assert result.code == ExitCode.INTEGRITY, result.err
    assert target.read_bytes() == b"an older copy"
    assert "bytes" in result.err


def test_an_upload_is_not_done_without_a_reported_size(cli: Cli, multipart: tuple[str, bytes], moto_proxy: FaultProxy):
    moto_proxy.fault(hostile.odd(hostile.having("Content-Length", "512")), hostile.heads, times=None)
    result = cli("test-providers", "s3")
    assert result.code == ExitCode.INTEGRITY
    assert "512" in result.err


@pytest.mark.parametrize("keeps_length", [False, True])
def test_a_truncated_listing_is_shown_as_incomplete_and_not_used(
    cli: Cli,
    paths: Paths,
    moto_s3: S3Server,
    moto_proxy: FaultProxy,
    aws_credentials: None,
    tmp_path: Path,
    keeps_length: bool,
):
    bucket = moto_s3.new_bucket()
    for name in ("a", "b", "c"):
        moto_s3.admin.put_object(Bucket=bucket, Key=f"d/{name}", Body=b"1")
    write_config(
        paths, s3=s3_instance(moto_s3, bucket, port=moto_proxy.port, timeout=10, max_retries=1, retry_delay=0.01)
    )

    def cut(reply: Reply) -> Reply:
        body = reply.body[: reply.body.rfind(b"<Contents>") + 20]
        return replace(reply, body=body) if keeps_length else reply.holding(body)

    rule = moto_proxy.fault(Fault.rewrite(cut), list_objects(), times=None)
    shown = cli("list", "--provider", "s3", "d/")
    assert shown.code == ExitCode.INTEGRITY
    assert [line.split()[-1] for line in shown.out.splitlines()] == ["d/a", "d/b"]
    assert "this listing is incomplete: " in shown.err
    target = tmp_path / "to"
    fetched = cli("download", "--provider", "s3", "d/", "--to", f"{target}/")
    deleted = cli("delete", "--provider", "s3", "d/", "--yes")
    refused = ExitCode.NETWORK if keeps_length else ExitCode.INTEGRITY
    assert (fetched.code, deleted.code) == (refused, refused)
    assert "address and port" not in shown.err + fetched.err + deleted.err
    assert not target.exists() or list(target.iterdir()) == []
    rule.release()
    assert set(moto_s3.objects(bucket)) == {"d/a", "d/b", "d/c"}
    if paths.journal_file.exists():
        assert stop_worker(paths)


def test_a_version_stored_by_us_with_another_size_is_not_restored(
    cli: Cli, multipart: tuple[str, bytes], moto_proxy: FaultProxy, tmp_path: Path
):
    """The ETag is that of our upload, and everything else the server reports fits the shorter object."""
    (tmp_path / "f").write_bytes(content(5000))
    assert cli("upload", "--provider", "s3", str(tmp_path / "f")).code == 0
    target = tmp_path / "target"
    target.write_bytes(b"an older copy")
    short = hostile.body(lambda data: data[:1000])
    length = hostile.having("Content-Length", "1000")
    unsigned = hostile.without("x-amz-checksum-sha256", "x-amz-checksum-crc32", "x-amz-checksum-type")
    moto_proxy.fault(hostile.odd(hostile.without("Content-Length"), length, unsigned), hostile.heads, times=None)
    moto_proxy.fault(hostile.odd(short, unsigned), get_object(), times=None)
    result = cli("download", "--provider", "s3", "f", "--to", str(target))
    assert result.code == ExitCode.INTEGRITY, result.err
    assert "the service reports 1000 bytes, but this same version had 5000" in result.err
    assert target.read_bytes() == b"an older copy"
