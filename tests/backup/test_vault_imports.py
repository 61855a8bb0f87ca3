"""Import of instances from other programs. rclone itself checks the passwords that are read from its files."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backup.config.file import _NAME as INSTANCE_NAME
from backup.credentials.importing.aws import from_aws, from_aws_profiles
from backup.credentials.importing.json_file import (
    Imported,
    ImportFindings,
    Services,
    from_earlier_json,
    known_services,
    without_secrets,
)
from backup.credentials.importing.rclone import from_rclone
from backup.credentials.importing.rclone_obscure import obscure, reveal
from providers.errors import InvalidConfiguration
from providers.secret import Secret
from tests.servers.process import program

SERVICES: Services = known_services()


def _by_source(findings: ImportFindings) -> dict[str, Imported]:
    return {instance.source: instance for instance in findings.instances}


def _plain(imported: Imported) -> dict[str, str]:
    return {key: secret.reveal() for key, secret in imported.secrets.items()}


# The family's earlier file

EARLIER = json.dumps(
    {
        "version": 7,
        "providers": {
            "backblaze": {
                "enabled": True,
                "username": "id-1",
                "password": "canary-b2",
                "application_key_id": "",
                "bucket": "old-bucket",
                "container": "",
                "max_retries": 5,
                "max_bandwidth": None,
                "encryption_enabled": False,
                "encryption_key": "canary-enc",
            },
            "minio at home": {
                "type": "aws_s3",
                "access_key": "AK",
                "secret_key": "canary-s3",
                "api_key": "canary-api",
                "container": "c",
                "flags": {"x": 1},
            },
            "old_service": {"password": "canary-kept"},
            "local": {"container": "/mnt/disk"},
        },
        "note": "stays",
    }
)


def test_the_guides_structure_is_imported() -> None:
    findings = from_earlier_json(EARLIER, SERVICES)
    found = _by_source(findings)
    b2 = found["backblaze"]
    assert b2.values == {"application_key_id": "id-1", "container": "old-bucket", "max_retries": "5"}
    assert _plain(b2) == {"application_key": "canary-b2", "encryption_key": "canary-enc"}
    minio = found["minio at home"]
    assert (minio.name, minio.service) == ("minio-at-home", "aws_s3")
    assert minio.values == {"access_key": "AK", "container": "c"}
    assert _plain(minio) == {"secret_key": "canary-s3"}
    assert minio.notes == ("left out, no such setting of AWS S3: api_key, flags",)
    assert found["local"].values == {"container": "/mnt/disk"}
    assert [(item.source, "no service" in item.reason) for item in findings.skipped] == [("old_service", True)]
    assert "canary" not in repr(findings)


def test_only_moved_secrets_are_removed_from_the_file() -> None:
    blanked = without_secrets(EARLIER, from_earlier_json(EARLIER, SERVICES).instances)
    for gone in ("canary-b2", "canary-enc", "canary-s3"):
        assert gone not in blanked
    for stays in ("canary-api", "canary-kept", "stays", "old-bucket"):
        assert stays in blanked
    assert json.loads(blanked).keys() == json.loads(EARLIER).keys()


def test_the_structure_without_providers_around_it() -> None:
    found = from_earlier_json('{"aws_s3": {"username": "AK", "password": "SK", "container": "c"}}', SERVICES)
    (s3,) = found.instances
    assert (s3.values, _plain(s3)) == ({"access_key": "AK", "container": "c"}, {"secret_key": "SK"})


@pytest.mark.parametrize("text", ["", "canary", '{"a": canary}', "[]", '"canary"', "[" * 100_000])
def test_text_that_is_not_json_is_refused_without_quoting_it(text: str) -> None:
    with pytest.raises(InvalidConfiguration) as raised:
        from_earlier_json(text, SERVICES)
    assert "canary" not in str(raised.value)
    with pytest.raises(InvalidConfiguration):
        from_rclone(text, SERVICES)


# AWS


def test_profiles_with_region_and_endpoint() -> None:
    credentials = """
    [default]
    aws_access_key_id = AKIA1
    aws_secret_access_key = canary/one+%(x)s=
    [minio]
    aws_access_key_id=AK2
    aws_secret_access_key=canary2
    aws_session_token=canary3
    [empty]
    """.replace("\n    ", "\n")
    config = """
    [default]
    region = eu-central-1
    [profile minio]
    endpoint_url = http://127.0.0.1:9000
    s3 =
        addressing_style = path
    [profile role]
    role_arn = arn:aws:iam::1:role/x
    [services local]
    s3 =
        endpoint_url = http://elsewhere
    """.replace("\n    ", "\n")
    findings = from_aws_profiles(credentials, config)
    found = _by_source(findings)
    assert found["aws_s3"].values == {"access_key": "AKIA1", "region": "eu-central-1"}
    assert _plain(found["aws_s3"]) == {"secret_key": "canary/one+%(x)s="}
    assert found["minio"].values == {
        "access_key": "AK2",
        "endpoint_url": "http://127.0.0.1:9000",
        "addressing_style": "path",
    }
    assert _plain(found["minio"]) == {"secret_key": "canary2", "session_token": "canary3"}
    assert any("temporary" in note for note in found["minio"].notes)
    assert {item.source: item.reason.split(";")[0] for item in findings.skipped} == {
        "empty": "it has no keys",
        "role": "it assumes a role",
    }
    assert "canary" not in repr(findings)


@pytest.mark.parametrize("text", ["canary = before any section", "[x]\ncanary without a sign", "[canary"])
def test_text_that_is_not_a_profile_file_is_refused_without_quoting_it(text: str) -> None:
    with pytest.raises(InvalidConfiguration) as raised:
        from_aws_profiles(text)
    assert "canary" not in str(raised.value)


IN_MAY_S = 1_779_624_000.0
"""2026-05-24 12:00 UTC."""


@pytest.mark.parametrize("key", ["x_security_token_expires", "aws_expiration", "expiration"])
@pytest.mark.parametrize(
    ("text", "ends_at"),
    [
        ("2026-05-24T12:00:00Z", IN_MAY_S),
        ("2026-05-24T14:00:00+02:00", IN_MAY_S),
        ("2026-05-24T12:00:00", IN_MAY_S),
        ("canary of a day", None),
    ],
)
def test_the_expiry_of_temporary_keys_is_read_from_the_profile(key: str, text: str, ends_at: float | None) -> None:
    profile = f"[work]\naws_access_key_id = AK\naws_secret_access_key = SK\n{key} = {text}\n"
    (found,) = from_aws(profile + "aws_session_token = T\n").instances
    assert found.expires_at == ends_at
    (lasting,) = from_aws(profile).instances  # left over from former temporary keys
    assert lasting.expires_at is None


@pytest.mark.parametrize("wrapped", [True, False])
def test_the_output_of_a_credential_process_is_imported(wrapped: bool) -> None:
    keys = {"AccessKeyId": "AK", "SecretAccessKey": "canary-1", "SessionToken": "canary-2"}
    printed: dict[str, object] = {"Version": 1, **keys, "Expiration": "2026-05-24T12:00:00+00:00"}
    findings = from_aws(json.dumps({"Credentials": printed} if wrapped else printed))
    (found,) = findings.instances
    assert (found.source, found.values) == ("aws_s3", {"access_key": "AK"})
    assert _plain(found) == {"secret_key": "canary-1", "session_token": "canary-2"}
    assert found.expires_at == IN_MAY_S
    assert "canary" not in repr(findings)


@pytest.mark.parametrize("text", ['{"canary', '{"AccessKeyId": "canary"}', '{"Credentials": "canary"}'])
def test_invalid_output_of_a_credential_process_is_refused(text: str) -> None:
    with pytest.raises(InvalidConfiguration) as raised:
        from_aws(text)
    assert "canary" not in str(raised.value)


# rclone


@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=80))
def test_obscured_passwords_are_revealed(text: str) -> None:
    assert reveal(obscure(Secret(text))) == Secret(text)


def test_rclone_reads_ours_and_we_read_rclones() -> None:
    password = "pässword with spaces"
    theirs = subprocess.run(
        [program("rclone"), "obscure", "-"], input=password, capture_output=True, text=True, timeout=30, check=True
    ).stdout.strip()
    assert reveal(theirs) == Secret(password)
    ours = obscure(Secret(password))
    reveal_ours = [program("rclone"), "reveal", "--", ours]  # one in 64 begins with a dash
    back = subprocess.run(reveal_ours, capture_output=True, text=True, timeout=30, check=True)
    assert back.stdout.strip() == password


@pytest.mark.parametrize("text", ["", "canary", "not base64 at all!", "ä" * 30, "A" * 30 + "!!"])
def test_text_that_is_not_obscured_is_refused_without_quoting_it(text: str) -> None:
    with pytest.raises(InvalidConfiguration) as raised:
        reveal(text)
    assert "canary" not in str(raised.value)


def test_remotes_from_a_real_dump(tmp_path: Path) -> None:
    config = tmp_path / "rclone.conf"
    config.write_text(
        f"""
[b2 one]
type = b2
account = acc
key = canary-key
[minio]
type = s3
provider = Minio
access_key_id = AK
secret_access_key = canary-s3
endpoint = 127.0.0.1:9000
force_path_style = true
[secret]
type = crypt
remote = minio:bucket/deep/er
password = {obscure(Secret("canary-enc"))}
password2 = {obscure(Secret("canary-salt"))}
[short]
type = alias
remote = b2 one:backups
[twice]
type = alias
remote = short:below
[names]
type = crypt
remote = minio:b
filename_encryption = off
password = {obscure(Secret("x"))}
[disk]
type = alias
remote = /mnt/disk/
[loop]
type = alias
remote = loop:x
[gone]
type = alias
remote = nowhere:x
[box]
type = dropbox
token = {{"access_token":"canary-short","refresh_token":"canary-long","expiry":"2020-01-01T00:00:00Z"}}
[sftp]
type = sftp
host = example.net
"""
    )
    dump = subprocess.run(
        [program("rclone"), "--config", str(config), "config", "dump"],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    ).stdout
    findings = from_rclone(dump, SERVICES)
    found = _by_source(findings)
    assert found["b2 one"].name == "b2-one"
    assert (found["b2 one"].values, _plain(found["b2 one"])) == (
        {"application_key_id": "acc"},
        {"application_key": "canary-key"},
    )
    assert found["minio"].values == {
        "access_key": "AK",
        "endpoint_url": "https://127.0.0.1:9000",
        "addressing_style": "path",
    }
    assert found["minio"].notes == ("still to be set: container",)
    secret = found["secret"]
    assert secret.values["container"] == "bucket"
    assert secret.values["prefix"] == "deep/er/"
    assert secret.values["encryption_enabled"] == "true"
    assert _plain(secret) == {
        "secret_key": "canary-s3",
        "encryption_key": "canary-enc",
        "encryption_salt": "canary-salt",
    }
    assert found["short"].values["container"] == "backups"
    assert (found["twice"].values["container"], found["twice"].values["prefix"]) == ("backups", "below/")
    assert found["disk"].values == {"container": "/mnt/disk"}
    assert _plain(found["box"]) == {"refresh_token": "canary-long"}
    assert found["box"].expires_at is None  # that expiry was the access token's
    assert any("authorise" in note for note in found["box"].notes)
    assert {item.source: item.reason for item in findings.skipped} == {
        "names": "its encryption differs from rclone's standard in filename_encryption",
        "loop": "it wraps itself",
        "gone": "it wraps the remote 'nowhere', which does not exist",
        "sftp": "this program has no service for rclone's type 'sftp'",
    }
    assert "canary" not in repr(findings)
    assert all(INSTANCE_NAME.fullmatch(instance.name) for instance in findings.instances)


def test_an_encrypted_configuration_is_distinguished_from_a_dump() -> None:
    with pytest.raises(InvalidConfiguration, match="encrypted") as raised:
        from_rclone("# Encrypted rclone configuration File\n\nRCLONE_ENCRYPT_V0:\ncanary", SERVICES)
    assert "config dump" in raised.value.hint


def test_names_are_usable_and_differ() -> None:
    dump = json.dumps({name: {"type": "s3"} for name in ("a b", "a-b", "ä", "-", "x" * 200, "..")})
    names = [instance.name for instance in from_rclone(dump, SERVICES).instances]
    assert len(set(names)) == 6
    assert all(INSTANCE_NAME.fullmatch(name) for name in names)


def test_no_remote_gets_a_setting_that_its_service_lacks() -> None:
    """Every option that is read for each type, and those that change the destination."""
    token = json.dumps({"refresh_token": "canary-token"})
    remotes = {
        "b2": {"type": "b2", "account": "a", "key": "canary", "endpoint": "b2.test", "hard_delete": "true"},
        "s3": {"type": "s3", "access_key_id": "a", "secret_access_key": "canary", "session_token": "canary",
               "region": "eu", "endpoint": "s3.test", "force_path_style": "false", "profile": "p",
               "storage_class": "GLACIER"},
        "dropbox": {"type": "dropbox", "client_id": "a", "client_secret": "canary", "token": token},
        "drive": {"type": "drive", "client_id": "a", "client_secret": "canary", "token": token, "team_drive": "0A",
                  "use_trash": "false", "acknowledge_abuse": "true", "root_folder_id": "1x"},
        "b2 below": {"type": "alias", "remote": "b2:bucket/deep"},
        "drive below": {"type": "alias", "remote": "drive:folder"},
    }  # fmt: skip
    found = _by_source(from_rclone(json.dumps(remotes)))
    assert found.keys() == remotes.keys()
    assert not [note for each in found.values() for note in each.notes if note.startswith("left out")]
    assert found["b2"].values == {
        "application_key_id": "a", "realm": "https://b2.test", "delete_versions": "true"
    }  # fmt: skip
    assert (found["b2 below"].values["container"], found["b2 below"].values["prefix"]) == ("bucket", "deep/")
    assert found["s3"].values["addressing_style"] == "virtual"
    assert any("storage_class" in note for note in found["s3"].notes)
    assert any("app's secret" in note for note in found["dropbox"].notes)
    assert found["drive"].values == {
        "client_id": "a", "shared_drive_id": "0A", "scope": "drive", "use_trash": "false", "acknowledge_abuse": "true"
    }  # fmt: skip
    assert "container" not in found["drive below"].values  # only Google knows the folder above
    assert any("root_folder_id" in note for note in found["drive below"].notes)


def test_a_profile_is_imported_with_its_certificates() -> None:
    keys = "[default]\naws_access_key_id = A\naws_secret_access_key = canary\n"
    (found,) = from_aws_profiles(keys, "[default]\nca_bundle = /etc/ca.pem\nregion = eu\n").instances
    assert (found.values["ca_bundle"], found.values["region"], found.notes) == (
        "/etc/ca.pem", "eu", ("still to be set: container",)
    )  # fmt: skip
