"""The recovery kit as printed by `credentials recovery-kit`: instances can be read with the page alone."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import rsa

from backup.cli.diagnostics import ExitCode
from backup.system import qr
from backup.system.paths import Paths
from tests.backup.test_recovery_kit_rebuilds import GOOGLE, rclone, through
from tests.cli.conftest import Cli, write_config
from tests.cli.test_credentials_verbs import cheap_vault as cheap_vault
from tests.cli.test_credentials_verbs import opened as opened
from tests.providers.test_google_drive import key_file
from tests.servers.drive_server import DriveServer
from tests.servers.s3_server import ACCESS_KEY, REGION, SECRET_KEY, S3Server


def set_up(cli: Cli, paths: Paths, name: str, **settings: str | bool) -> None:
    """Add an instance."""
    tree = json.loads(paths.config_file.read_text())
    tree.setdefault("providers", {})[name] = settings
    paths.config_file.write_text(json.dumps(tree))


def lines_for_rclone(page: str, name: str) -> str:
    """The instance's lines for rclone on the page, which its QR code contains too."""
    found = re.search(rf"^\[{name}-storage\]\n.*?^\[{name}\]\n(?:[^\n]+\n)+", page, re.MULTILINE | re.DOTALL)
    assert found is not None, page
    return found[0]


def test_s3_is_rebuilt_from_the_printed_page_and_from_its_code(
    cli: Cli, paths: Paths, tmp_path: Path, opened: Callable[[], int], moto_s3: S3Server
):
    bucket = moto_s3.new_bucket()
    moto_s3.put(bucket, "deep/it", b"from S3")
    set_up(
        cli, paths, "minio", type="aws_s3", container=bucket, prefix="deep/", region=REGION, addressing_style="path",
        endpoint_url=f"http://127.0.0.1:{moto_s3.port}",
    )  # fmt: skip
    arguments = ["-u", ACCESS_KEY, "--passphrase-fd", str(opened())]
    assert cli("set-credentials", "minio", *arguments, stdin=f"{SECRET_KEY}\n").code == 0
    printed = cli("credentials", "recovery-kit", "--yes", "--passphrase-fd", str(opened()))
    assert printed.code == 0, printed.err
    assert rclone(printed.out, tmp_path, "cat", "minio:it") == "from S3"
    assert "\n".join(qr.rows(lines_for_rclone(printed.out, "minio"), dark_background=False)) in printed.out
    narrow = cli("credentials", "recovery-kit", "--yes", "--columns", "40", "--passphrase-fd", str(opened()))
    assert "as a QR code it would be" in narrow.out
    assert rclone(narrow.out, tmp_path, "cat", "minio:it") == "from S3"


def test_a_service_account_of_many_lines_is_rebuilt_from_the_printed_page(
    cli: Cli, paths: Paths, tmp_path: Path, opened: Callable[[], int]
):
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    tree = json.loads(key_file(key, token_uri="https://oauth2.googleapis.com/token"))
    text = json.dumps(tree, indent=2)
    with DriveServer() as server:
        server.authority.service_accounts["backup@project.iam.gserviceaccount.com"] = key.public_key()
        folder = server.store.folder("Backups")
        server.store.create({"name": "it", "parents": [folder]}, b"from Drive")
        set_up(cli, paths, "google_drive", container="Backups")
        arguments = ["--setting", "service_account_json", "--passphrase-fd", str(opened())]
        kept = cli("set-credentials", "google_drive", *arguments, stdin=f"{text}\n")
        assert kept.code == 0, kept.err
        arguments = ["google_drive", "--yes", "--columns", "400", "--passphrase-fd", str(opened())]
        printed = cli("credentials", "recovery-kit", *arguments)
        assert printed.code == 0, printed.err
        assert through(GOOGLE, server.port, printed.out, tmp_path, "cat", "google_drive:it") == "from Drive"
    shown = re.search(r"^  service_account_json: (.*)$", printed.out, re.MULTILINE)
    assert shown is not None
    assert json.loads(shown[1]) == text
    assert "\n".join(qr.rows(lines_for_rclone(printed.out, "google_drive"), dark_background=False)) in printed.out


def test_an_unknown_name_prints_no_page(cli: Cli, paths: Paths, opened: Callable[[], int]):
    write_config(paths, disk={"type": "local", "container": "/srv"})
    refused = cli("credentials", "recovery-kit", "nosuch", "--yes", "--passphrase-fd", str(opened()))
    assert refused.code == ExitCode.CONFIGURATION
    assert refused.out == ""
