"""S3 from the command line: setup with a real keyring, all verbs, and a distinct message for each failure."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from backup.cli.diagnostics import ExitCode
from backup.system.paths import Paths
from providers.testing.fault_proxy import FaultProxy
from providers.testing.faults import Fault, any_request
from tests.cli.conftest import Cli, Result, s3_instance, write_aws_credentials, write_config
from tests.credentials_fixture import SecretService
from tests.processes import stop_worker
from tests.servers import s3_errors
from tests.servers.s3_requests import put_object
from tests.servers.s3_server import ACCESS_KEY, SECRET_KEY, S3Server


@pytest.fixture(autouse=True)
def _worker_stopped(paths: Paths) -> Iterator[None]:
    yield
    if paths.journal_file.exists():
        assert stop_worker(paths)


def test_the_whole_path_with_a_keyring_and_no_secret_anywhere(
    program: Cli, cli: Cli, paths: Paths, rclone_s3: S3Server, secret_service: SecretService, tmp_path: Path
):
    bucket = rclone_s3.new_bucket()
    for key, value in {
        "type": "aws_s3", "container": bucket, "endpoint_url": rclone_s3.url, "timeout": "10", "max_retries": "0",
    }.items():  # fmt: skip
        assert cli("set-config", "minio", key, value).code == 0
    results = [cli("set-credentials", "minio", "--username", ACCESS_KEY, stdin=SECRET_KEY)]
    results.append(program("test-cycle", "--provider", "minio", "--size", "300KiB"))
    results.append(program("enable-provider", "minio"))
    (tmp_path / "file.bin").write_bytes(os.urandom(100_000))
    results.append(program("upload", str(tmp_path / "file.bin"), "--to", "x"))
    results.append(program("--verbose", "list", "--json"))
    assert [(result.code, result.err) for result in results if result.code] == []
    assert "using provider minio" in results[3].err
    assert rclone_s3.objects(bucket) == {"x/file.bin": (tmp_path / "file.bin").read_bytes()}
    places = [file.read_text() for file in [paths.config_file, *paths.logs_dir.iterdir()] if file.is_file()]
    places += [result.out + result.err for result in results]
    assert all(SECRET_KEY not in text for text in places)
    assert SECRET_KEY.encode() not in paths.journal_file.read_bytes()


def test_two_providers_at_two_endpoints_do_not_affect_each_other(
    cli: Cli, paths: Paths, rclone_s3: S3Server, rclone_proxy: FaultProxy, aws_credentials: None, tmp_path: Path
):
    """One worker, the same key at both: work at one does not affect the other, even if that is down."""
    buckets = {"here": rclone_s3.new_bucket(), "there": rclone_s3.new_bucket()}
    ports = {"here": rclone_s3.port, "there": rclone_proxy.port}
    write_config(
        paths,
        **{name: s3_instance(rclone_s3, bucket, port=ports[name], timeout=10) for name, bucket in buckets.items()},
    )
    source = tmp_path / "file"
    for name in buckets:
        source.write_text(name)
        result = cli("upload", str(source), "--provider", name, "--to", "x/")
        assert result.code == 0, result.err
    for name, bucket in buckets.items():
        assert rclone_s3.objects(bucket) == {"x/file": name.encode()}
        assert cli("list", "--provider", name, "x/", "--json").json()["files"][0]["name"] == "x/file"
    shown = {
        each["name"]: each["settings"]["endpoint_url"]
        for each in cli("list-providers", "--json").json()["instances"][1:]
    }
    assert shown == {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
    with rclone_proxy.refusing():
        assert cli("list", "--provider", "there").code == ExitCode.NETWORK
        assert cli("delete", "--yes", "--provider", "here", "x/file").code == 0
    assert [rclone_s3.objects(bucket) for bucket in buckets.values()] == [{}, {"x/file": b"there"}]


@pytest.fixture
def bucket(paths: Paths, rclone_s3: S3Server, rclone_proxy: FaultProxy, aws_credentials: None) -> str:
    """A provider `s3` behind the fault proxy; returns its bucket."""
    name = rclone_s3.new_bucket()
    write_config(paths, s3=s3_instance(rclone_s3, name, port=rclone_proxy.port, timeout=1))
    return name


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def failures(cli: Cli) -> Result:
    """A failing listing. The check fails with the same exit code, at a step, with cause and fix."""
    listed, checked = cli("list", "--provider", "s3"), cli("test-providers", "s3")
    assert listed.code == checked.code, listed.err + checked.err
    assert "failed" in checked.out
    for err in (listed.err, checked.err):
        assert "why:" in err
        assert "fix:" in err
        assert SECRET_KEY not in err
    return listed


def test_a_wrong_key(cli: Cli, bucket: str):
    write_aws_credentials("wrong-secret-canary")
    result = failures(cli)
    assert result.code == ExitCode.AUTHENTICATION
    assert "wrong-secret-canary" not in result.err


def test_a_wrong_bucket(cli: Cli, paths: Paths, rclone_s3: S3Server, aws_credentials: None):
    write_config(paths, s3=s3_instance(rclone_s3, "no-such-bucket-here"))
    result = failures(cli)
    assert result.code == ExitCode.NOT_FOUND
    assert "no-such-bucket-here" in result.err


def test_a_server_that_is_down(cli: Cli, paths: Paths, rclone_s3: S3Server, aws_credentials: None):
    write_config(paths, s3=s3_instance(rclone_s3, "b", port=closed_port()))
    assert failures(cli).code == ExitCode.NETWORK


def test_a_server_that_stalls(cli: Cli, bucket: str, rclone_proxy: FaultProxy):
    rclone_proxy.fault(Fault.stall(), any_request, times=None)
    assert failures(cli).code == ExitCode.NETWORK


@pytest.mark.few(2)
@pytest.mark.parametrize(
    ("fault", "code", "word"),
    [
        (s3_errors.request_time_too_skewed(), ExitCode.AUTHENTICATION, "clock"),
        (s3_errors.permanent_redirect("eu-north-1"), ExitCode.CONFIGURATION, "Set region to eu-north-1"),
        (s3_errors.authorization_header_malformed("eu-north-1"), ExitCode.CONFIGURATION, "Set region to eu-north-1"),
        (s3_errors.access_denied(), ExitCode.PERMISSION, "AccessDenied"),
        (s3_errors.slow_down(), ExitCode.NETWORK, "SlowDown"),
    ],
)
def test_each_error_of_the_service_has_its_exit_code(
    cli: Cli, bucket: str, rclone_proxy: FaultProxy, fault: Fault, code: ExitCode, word: str
):
    rclone_proxy.fault(fault, any_request, times=None)
    result = cli("list", "--provider", "s3")
    assert result.code == code
    assert word in result.err


def test_each_cause_has_its_own_message(
    cli: Cli, paths: Paths, bucket: str, rclone_s3: S3Server, rclone_proxy: FaultProxy
):
    def cause() -> tuple[str, str]:
        shown = cli("list", "--provider", "s3")
        lines = shown.err.splitlines()
        return next(line for line in lines if "why:" in line), next(line for line in lines if "fix:" in line)

    causes = []
    for fault in (Fault.stall(), s3_errors.permanent_redirect(), s3_errors.request_time_too_skewed()):
        rclone_proxy.fault(fault, any_request, times=None)
        causes.append(cause())
        rclone_proxy.clear_faults()
    write_aws_credentials("wrong")
    causes.append(cause())
    write_aws_credentials()
    with rclone_proxy.refusing():
        causes.append(cause())
    write_config(paths, s3=s3_instance(rclone_s3, "no-such-bucket-here"))
    causes.append(cause())
    assert len({why for why, _ in causes}) == len({fix for _, fix in causes}) == len(causes) == 6


def test_a_followed_upload_to_a_refusing_server_queues_nothing(
    cli: Cli, bucket: str, rclone_proxy: FaultProxy, tmp_path: Path
):
    (tmp_path / "file").write_bytes(b"1")
    with rclone_proxy.refusing():
        result = cli("upload", "--provider", "s3", str(tmp_path / "file"))
        assert result.code == ExitCode.NETWORK
        assert "no transfers" in cli("transfers").out
        detached = cli("upload", "--provider", "s3", "--detach", str(tmp_path / "file"))
    assert detached.code == 0
    assert "does not answer now" in detached.err


def test_a_key_revoked_midway_ends_the_following_but_not_the_transfer(
    cli: Cli, bucket: str, rclone_proxy: FaultProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("backup.cli.follow._STUCK_AFTER_S", 0.5)
    (tmp_path / "many").mkdir()
    for number in range(3):
        (tmp_path / "many" / str(number)).write_bytes(b"1")
    rclone_proxy.fault(s3_errors.invalid_access_key_id(), put_object(), times=None)
    result = cli("upload", "--provider", "s3", str(tmp_path / "many"))
    assert result.code == ExitCode.AUTHENTICATION, result.err
    assert "InvalidAccessKeyId" in result.err
    assert "is not finished" in result.err


@pytest.mark.full
def test_a_final_slash_means_a_folder_up_and_down(cli: Cli, bucket: str, rclone_s3: S3Server, tmp_path: Path):
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir" / "a").write_bytes(b"alpha")
    assert cli("upload", f"{tmp_path}/dir/a/", "--provider", "s3").code == ExitCode.NOT_FOUND
    assert cli("upload", f"{tmp_path}/dir/", "--provider", "s3", "--to", "x/").code == 0
    assert rclone_s3.objects(bucket) == {"x/dir/a": b"alpha"}
    for _ in range(2):  # the second time the file exists
        assert cli("download", "x/dir/a", "--provider", "s3", "--to", f"{tmp_path}/NEW/").code == 0
        assert (tmp_path / "NEW" / "a").read_bytes() == b"alpha"
    assert cli("download", "x/dir", "--provider", "s3", "--to", f"{tmp_path}/OTHER").code == ExitCode.NOT_FOUND
    assert cli("download", "x/dir/", "--provider", "s3", "--to", f"{tmp_path}/OTHER").code == 0
    assert (tmp_path / "OTHER" / "dir" / "a").read_bytes() == b"alpha"
