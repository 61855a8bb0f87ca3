"""The recovery kit. rclone itself checks that backups can be read with it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import segno

from backup.credentials.recovery_kit import WARNING, KitInstance, qr_code, rclone_config, recovery_kit
from backup.credentials.vault_file.file import VaultInfo
from backup.credentials.vault_file.slots import RawKey
from backup.system.text import limit_to
from providers.secret import Secret
from tests.backup.vault_tools import new_vault
from tests.servers.process import program

S3 = KitInstance(
    name="minio",
    service="aws_s3",
    title="AWS S3",
    settings={
        "container": "bucket",
        "prefix": "server1/",
        "endpoint_url": "https://s3.example.net",
        "access_key": "AK",
        "enabled": True,
        "max_bandwidth": None,
        "region": "",
    },
    secrets={"secret_key": Secret("canary-s3")},
)


def _local(folder: Path, **settings: object) -> KitInstance:
    return KitInstance(
        name="disk",
        service="local",
        title="Local disk",
        settings={"container": str(folder), **settings},
        secrets={"encryption_key": Secret("canary-enc"), "encryption_salt": Secret("salt")},
    )


def _rclone(config: str, folder: Path, *words: str) -> str:
    path = folder / "rclone.conf"
    path.write_text(config)
    command = [program("rclone"), "--config", str(path), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout


def _lines(kit: Secret) -> str:
    """The lines that a person would copy into rclone.conf."""
    text = kit.reveal()
    return "\n".join(line for line in text.splitlines() if line.startswith("[") or " = " in line)


def test_the_page_begins_with_a_warning_and_has_everything_needed(tmp_path: Path) -> None:
    vault, key = new_vault(tmp_path)
    vault.add_slot(key, RawKey.generate(), label="nightly\x1b[31m")
    kit = recovery_kit([S3, _local(tmp_path)], host="server\x1b", made_on="2026-11-22", vault=vault.describe())
    text = kit.reveal()
    assert " ".join(text.split()).index(WARNING) < text.index("canary-s3")
    for needed in ("canary-s3", "AK", "https://s3.example.net", "server1/", "canary-enc", str(tmp_path), "key nightly"):
        assert needed in text
    assert "\x1b" not in text
    assert "max_bandwidth" not in text
    assert max(map(len, text.splitlines())) < 200
    assert "canary" not in f"{kit}{kit!r}"


def test_rclone_accepts_the_lines_unchanged(tmp_path: Path) -> None:
    config = _lines(recovery_kit([S3], host="h", made_on="today"))
    dump = _rclone(config, tmp_path, "config", "show", "minio-storage")
    assert "access_key_id = AK" in dump
    assert "secret_access_key = canary-s3" in dump
    assert "endpoint = https://s3.example.net" in dump
    assert "minio:" in _rclone(config, tmp_path, "listremotes")


def test_rclone_reads_plain_and_encrypted_files_with_it(tmp_path: Path) -> None:
    storage = tmp_path / "storage"
    storage.mkdir()
    (storage / "file").write_text("plain")
    plain = _lines(recovery_kit([_local(storage)], host="h", made_on="today"))
    assert _rclone(plain, tmp_path, "cat", "disk:file") == "plain"
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    encrypted = _lines(recovery_kit([_local(hidden, encryption_enabled=True)], host="h", made_on="today"))
    _rclone(encrypted, tmp_path, "copy", str(storage), "disk:")
    assert [path.name for path in hidden.iterdir()] != ["file"]
    again = _lines(recovery_kit([_local(hidden, encryption_enabled=True)], host="h", made_on="today"))
    assert again != encrypted
    assert _rclone(again, tmp_path, "cat", "disk:file") == "plain"


def test_other_services_and_what_cannot_be_written() -> None:
    b2 = KitInstance(
        name="b2",
        service="backblaze",
        title="B2",
        settings={"application_key_id": "id", "container": "c"},
        secrets={"application_key": Secret("key")},
    )
    config = rclone_config(b2)
    assert config is not None
    assert "account = id\nkey = key\n" in config.reveal()
    box = KitInstance(
        name="box", service="dropbox", title="", settings={"app_key": "a"}, secrets={"refresh_token": Secret("r")}
    )
    config = rclone_config(box)
    assert config is not None
    assert '"refresh_token":"r"' in config.reveal()
    unknown = KitInstance(name="x", service="plug_in", title="", settings={}, secrets={"token": Secret("canary")})
    assert rclone_config(unknown) is None
    assert "no rclone entry" in recovery_kit([unknown], host="h", made_on="today").reveal()
    broken = KitInstance(
        name="x", service="aws_s3", title="", settings={}, secrets={"secret_key": Secret("a\n[evil]\ntype = local")}
    )
    config = rclone_config(broken)
    assert config is not None
    assert "[evil]" not in config.reveal()


def test_the_qr_code_is_the_code_of_the_text() -> None:
    for dark_background in (False, True):
        drawn = qr_code("[minio]\ntype = s3\n", dark_background=dark_background).split("\n")
        rows = [[cell in "▀█" for cell in line] for line in drawn], [[cell in "▄█" for cell in line] for line in drawn]
        seen = [row for pair in zip(*rows, strict=True) for row in pair]
        code = segno.make("[minio]\ntype = s3\n", error="l", micro=False, boost_error=False)
        expected = [[bool(module) != dark_background for module in row] for row in code.matrix_iter(border=2)]
        assert seen[: len(expected)] == expected
    assert "columns wide" in qr_code("x" * 2000)
    assert "too much" in qr_code("x" * 5000, columns=1000)


def test_without_a_vault_the_keyring_is_named() -> None:
    assert "keyring of that machine" in recovery_kit([], host="h", made_on="today").reveal()
    info = VaultInfo(path=Path("/x/vault.json"), generation=1, slots=())
    assert "/x/vault.json" in recovery_kit([], host="h", made_on="today", vault=info).reveal()


def test_a_terminal_that_cannot_show_the_code_is_reported() -> None:
    try:
        for encoding in ("latin-1", "ascii"):
            limit_to(encoding)
            assert qr_code("x") == "(this terminal cannot show a QR code)"
        limit_to("cp437")
        assert "▀" in qr_code("x")
    finally:
        limit_to("utf-8")
