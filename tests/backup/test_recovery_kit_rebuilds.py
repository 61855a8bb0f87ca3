"""Each instance can be read with nothing but its recovery kit and rclone."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from backup.credentials import CredentialStore
from backup.credentials.entry import Credentials
from backup.credentials.recovery_kit import KitInstance, recovery_kit
from backup.instances import recovery_kit as recovery
from backup.system.paths import Paths
from providers.secret import Secret
from tests.backup.test_vault_recovery_kit import _lines
from tests.providers.test_google_drive import key_file
from tests.servers.b2 import B2Server
from tests.servers.connect_proxy import ConnectProxy
from tests.servers.drive_oauth import CLIENT_ID, CLIENT_SECRET
from tests.servers.drive_oauth import REFRESH_TOKEN as DRIVE_TOKEN
from tests.servers.drive_server import DriveServer
from tests.servers.dropbox_server import APP_KEY, DropboxServer
from tests.servers.dropbox_server import REFRESH_TOKEN as DROPBOX_TOKEN
from tests.servers.process import program
from tests.servers.s3_server import ACCESS_KEY, REGION, SECRET_KEY, S3Server

GOOGLE = ("www.googleapis.com", "oauth2.googleapis.com")
DROPBOX = ("api.dropboxapi.com", "content.dropboxapi.com", "notify.dropboxapi.com")


class Kept:
    """A store with one entry for every instance."""

    def __init__(self, entry: Credentials) -> None:
        self._entry = entry

    def get(self, key: str) -> Credentials:
        return self._entry


def page(paths: Paths, service: str, settings: Mapping[str, Any], entry: Credentials) -> str:
    """The kit of an instance `mine`, made of the configuration file and the store."""
    paths.config_dir.mkdir(parents=True)
    tree = {"version": 1, "providers": {"mine": {"type": service, **settings}}, "credentials": {"mine": {}}}
    paths.config_file.write_text(json.dumps(tree))
    return recovery.kit(paths, cast(CredentialStore, Kept(entry)), ["mine"]).reveal()


def rclone(text: str, folder: Path, *words: str, environment: Mapping[str, str] | None = None) -> str:
    file = folder / "rclone.conf"
    file.write_text(_lines(Secret(text)))
    done = subprocess.run(
        [program("rclone"), "--config", str(file), "--retries", "1", "--low-level-retries", "1", *words],
        capture_output=True, text=True, timeout=60, check=False,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), **(environment or {})},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def through(hosts: tuple[str, ...], port: int, text: str, folder: Path, *words: str) -> str:
    (folder / "tls").mkdir()
    with ConnectProxy(dict.fromkeys(hosts, port), folder / "tls") as proxy:
        return rclone(text, folder, "--ca-cert", str(proxy.ca_file), *words, environment={"HTTPS_PROXY": proxy.url})


def test_s3(paths: Paths, tmp_path: Path, moto_s3: S3Server) -> None:
    bucket = moto_s3.new_bucket()
    moto_s3.put(bucket, "server 1/it", b"from S3")
    settings = {
        "container": bucket, "prefix": "server 1/", "region": REGION, "addressing_style": "path", "timeout": 17.5,
        "endpoint_url": f"http://127.0.0.1:{moto_s3.port}",
    }  # fmt: skip
    text = page(paths, "aws_s3", settings, Credentials(username=ACCESS_KEY, password=Secret(SECRET_KEY)))
    assert rclone(text, tmp_path, "cat", "mine:it") == "from S3"
    assert "  timeout: 17.5\n" in text
    assert "  type: aws_s3\n" in text


@pytest.mark.parametrize("profile", ["work", ""])
def test_keys_missing_on_the_page_are_reported(paths: Paths, profile: str) -> None:
    """They are in a file of this machine, or derive from what it is."""
    text = page(paths, "aws_s3", {"container": "b", "region": REGION, "profile": profile}, Credentials())
    assert "  NOT ON THIS PAGE: the keys." in text
    assert ("the AWS profile work" if profile else "the environment") in text
    entry = Credentials(username=ACCESS_KEY, password=Secret(SECRET_KEY))
    paths.config_file.unlink()
    paths.config_dir.rmdir()
    assert "NOT ON THIS PAGE" not in page(paths, "aws_s3", {"container": "b", "region": REGION}, entry)


def test_missing_private_certificates_are_reported(paths: Paths) -> None:
    settings = {"container": "b", "endpoint_url": "https://s3.test", "ca_bundle": "/gone/ca.pem"}
    text = page(paths, "aws_s3", settings, Credentials(username=ACCESS_KEY, password=Secret(SECRET_KEY)))
    assert "  NOT ON THIS PAGE: the certificates in /gone/ca.pem" in text
    assert "--ca-cert" in text


def test_b2_in_another_realm(paths: Paths, tmp_path: Path, b2_server: B2Server) -> None:
    bucket, key = b2_server.new_bucket()
    b2_server.plant(bucket, {"deep/it": b"from B2"})
    settings = {"container": bucket, "prefix": "deep/", "realm": b2_server.url, "delete_versions": False}
    text = page(paths, "backblaze", settings, Credentials(username=key.key_id, password=Secret(key.key)))
    assert rclone(text, tmp_path, "cat", "mine:it") == "from B2"


def test_dropbox(paths: Paths, tmp_path: Path) -> None:
    with DropboxServer() as server:
        server.put("/Backups/it", b"from Dropbox")
        entry = Credentials(username=APP_KEY, password=Secret(DROPBOX_TOKEN))
        text = page(paths, "dropbox", {"container": "Backups"}, entry)
        assert through(DROPBOX, server.port, text, tmp_path, "cat", "mine:it") == "from Dropbox"


def test_google_drive_with_the_client_s_secret_beside_the_pair(paths: Paths, tmp_path: Path) -> None:
    with DriveServer() as server:
        folder = server.store.folder("Backups")
        server.store.create({"name": "it", "parents": [folder]}, b"from Drive")
        entry = Credentials(
            username=CLIENT_ID, password=Secret(DRIVE_TOKEN), extra={"client_secret": Secret(CLIENT_SECRET)}
        )
        text = page(paths, "google_drive", {"container": "Backups", "scope": "drive"}, entry)
        assert through(GOOGLE, server.port, text, tmp_path, "cat", "mine:it") == "from Drive"


def test_google_drive_with_a_key_file_of_many_lines(paths: Paths, tmp_path: Path) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    tree = json.loads(key_file(key, token_uri="https://oauth2.googleapis.com/token"))
    text = json.dumps(tree | {"project": 'ü \u2028 "quoted" \\ %'}, indent=2) + "\n"
    assert text.count("\n") > 5
    with DriveServer() as server:
        server.authority.service_accounts["backup@project.iam.gserviceaccount.com"] = key.public_key()
        folder = server.store.folder("Backups")
        server.store.create({"name": "it", "parents": [folder]}, b"from Drive")
        kit = page(
            paths, "google_drive", {"container": "Backups"}, Credentials(extra={"service_account_json": Secret(text)})
        )
        assert through(GOOGLE, server.port, kit, tmp_path, "cat", "mine:it") == "from Drive"
    shown = re.search(r"^  service_account_json: (.*)$", kit, re.MULTILINE)
    assert shown is not None
    assert json.loads(shown[1]) == text


def test_local(paths: Paths, tmp_path: Path) -> None:
    folder = tmp_path / "- a 'quoted\" földer ` # ;"
    folder.mkdir()
    (folder / "it").write_text("from a disk")
    text = page(paths, "local", {"container": str(folder)}, Credentials())
    assert rclone(text, tmp_path, "cat", "mine:it") == "from a disk"


ODD = (
    'plain', '"quoted"', '"start', "'single'", "`back`", "`back", "a`b", "a%b", "%%", "%s", "100%(", "back\\slash",
    "\\n", "-lead", "--flag=1", "#hash", ";semi", "a # b", "a = b", "[x]", "ünï 漢", '"""x"""', '"""x', "$HOME", "=x",
    ' " a " ', "~", '"', "`", '""', "'", " blank in front", "blank behind ", "{not json", "x" * 5000,
)  # fmt: skip


def odd(number: int, value: str) -> KitInstance:
    return KitInstance(
        name=f"n{number}",
        service="aws_s3",
        title="S3",
        settings={"region": "zz"},
        secrets={"secret_key": Secret(value)},
    )


def test_rclone_reads_every_odd_value_unchanged(tmp_path: Path) -> None:
    text = recovery_kit([odd(*each) for each in enumerate(ODD)], host="h", made_on="d", qr_codes=False).reveal()
    found = json.loads(rclone(text, tmp_path, "config", "dump"))
    for number, value in enumerate(ODD):
        section = found[f"n{number}-storage"]
        assert (section.get("secret_access_key"), section["region"]) == (value, "zz"), value


@pytest.mark.parametrize(
    "value", [*ODD, "a\nb", "a\n[evil]\ntype = local", "%(type)s", "\x1b[31m", "\udcff", "a\u202eb"]
)
def test_every_value_can_be_typed_again_from_the_page(value: str) -> None:
    text = recovery_kit([odd(0, value)], host="h", made_on="d", qr_codes=False).reveal()
    shown = re.search(r"^  secret_key: (.*)$", text, re.MULTILINE)
    assert shown is not None
    assert (json.loads(shown[1]) if shown[1].startswith('"') else shown[1]) == value
    assert text.encode().decode().isprintable() or set(re.sub(r"[^\x00-\x1f\x7f]", "", text)) <= {"\n"}


@pytest.mark.parametrize("value", ["a\nb", "%(type)s", "\x1b[31m", "a\u202eb"])
def test_values_that_rclone_s_file_cannot_hold_are_named_with_their_option(tmp_path: Path, value: str) -> None:
    text = recovery_kit([odd(0, value)], host="h", made_on="d", qr_codes=False).reveal()
    assert "secret_access_key = " not in text
    assert "--s3-secret-access-key" in text
    assert json.loads(rclone(text, tmp_path, "config", "dump"))["n0-storage"]["region"] == "zz"


def test_an_instance_named_like_another_s_storage_keeps_its_section(tmp_path: Path) -> None:
    folders = {"disk": tmp_path / "one", "disk-storage": tmp_path / "two"}
    parts = []
    for name, folder in folders.items():
        folder.mkdir()
        (folder / "it").write_text(name)
        parts.append(KitInstance(name=name, service="local", title="", settings={"container": str(folder)}, secrets={}))
    text = recovery_kit(parts, host="h", made_on="d", qr_codes=False).reveal()
    assert {name: rclone(text, tmp_path, "cat", f"{name}:it") for name in folders} == {name: name for name in folders}


def test_an_instance_of_a_missing_service_is_printed_as_stored(paths: Paths) -> None:
    entry = Credentials(username="me", password=Secret("canary-secret"), extra={"token": Secret("canary-token")})
    text = page(paths, "plug_in_that_was_removed", {"container": "there", "flavour": "sour"}, entry)
    for needed in ("container: there", "flavour: sour", "username: me", "canary-secret", "canary-token"):
        assert needed in text
