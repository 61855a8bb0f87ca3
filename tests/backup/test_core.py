"""The facade: set-up, both or neither of file and store, enabling, reading local folders."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from backup.cli.remedies import advice
from backup.config import file
from backup.core.core import Core
from backup.credentials import CredentialStore, CredentialStoreError
from backup.model.credentials import StoreState
from backup.model.instances import InstanceState
from backup.model.transfers import ItemKind
from backup.system.paths import Paths
from providers.contract.report import CheckStep, ConnectionReport, ErrorInfo, StepName, StepState
from providers.errors import InvalidConfiguration, NotFound, ProviderError
from providers.remedies import Action, Remedy
from providers.secret import Secret
from tests.credentials_fixture import SecretService


@pytest.fixture
def core(paths: Paths) -> Core:
    return Core(paths)


def report(*, ok: bool) -> ConnectionReport:
    failed = ErrorInfo("authentication", "refused", "Set it again.")
    return ConnectionReport(
        steps=tuple(
            CheckStep(name=name, state=StepState.OK if ok else StepState.FAILED, error=None if ok else failed)
            for name in StepName
        ),
        checked_at=time.time(),
    )


def file_text(paths: Paths) -> str:
    return paths.config_file.read_text() if paths.config_file.exists() else ""


def test_construction_touches_nothing(paths: Paths):
    Core(paths)
    assert not paths.config_dir.exists()
    assert not paths.state_dir.exists()


def test_the_facade_loads_no_sdk_no_keyring_and_no_textual(paths: Paths):
    code = (
        "import sys\n"
        "from backup.system.paths import Paths\n"
        "from backup.core.core import Core\n"
        "from backup.queries.client import QuestionsClient\n"
        "core = Core(Paths.default())\n"
        "core.instances.all(), core.instances.services()\n"
        "print(sorted({'boto3', 'botocore', 'obstore', 'keyring', 'textual'} & set(sys.modules)))"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True, cwd=root
    )
    assert done.stdout.strip() == "[]"


def test_a_setting_creates_the_instance_of_a_service(core: Core):
    info = core.instances.set_setting("aws_s3", "container", "copies")
    assert (info.name, info.type, info.container) == ("aws_s3", "aws_s3", "copies")
    assert info.state is InstanceState.DISABLED


def test_type_creates_an_instance_of_another_name(core: Core):
    core.instances.set_setting("minio", "type", "aws_s3")
    info = core.instances.set_setting("minio", "upload_chunk_size", "64MiB")
    assert info.settings["upload_chunk_size"] == 64 * 2**20
    with pytest.raises(InvalidConfiguration, match="already exists"):
        core.instances.set_setting("minio", "type", "local")


@pytest.mark.parametrize(
    ("name", "key", "text", "hint"),
    [
        ("nowhere", "container", "x", "set-config nowhere type"),
        ("aws_s3", "type", "gopher", ""),
        ("aws_s3", "secret_key", "hush", "set-credentials"),
        ("aws_s3", "no_such_key", "hush", "Settings of this service"),
        ("aws_s3", "timeout", "0", ""),
        ("aws_s3", "password", "hush", ""),
    ],
)
def test_a_wrong_setting_is_refused_and_changes_nothing(
    core: Core, paths: Paths, name: str, key: str, text: str, hint: str
):
    with pytest.raises(InvalidConfiguration) as caught:
        core.instances.set_setting(name, key, text)
    assert hint in advice(caught.value)
    assert "hush" not in str(caught.value)
    assert file_text(paths) == ""


def test_saving_keeps_secrets_in_the_store_and_the_rest_in_the_file(
    core: Core, paths: Paths, secret_service: SecretService
):
    info = core.instances.save(
        "offsite",
        "aws_s3",
        {"container": "copies", "region": "eu-central-1", "access_key": "AKIAEXAMPLE"},
        {"secret_key": Secret("wJalrXUtnFEMI")},
        enable=True,
    )
    assert info.state is InstanceState.READY
    assert info.has_credentials
    assert info.settings["access_key"] == "AKIAEXAMPLE"
    assert "wJalr" not in file_text(paths)
    found = CredentialStore(paths).get("offsite")
    assert found is not None
    assert (found.username, found.password) == ("AKIAEXAMPLE", Secret("wJalrXUtnFEMI"))


def test_a_new_access_key_replaces_the_old_one_everywhere(core: Core, paths: Paths, secret_service: SecretService):
    core.instances.save(
        "aws_s3", "aws_s3", {"container": "c", "access_key": "OLD"}, {"secret_key": Secret("old secret")}
    )
    info = core.instances.set_setting("aws_s3", "access_key", "NEW")
    assert info.settings["access_key"] == "NEW"
    found = CredentialStore(paths).get("aws_s3")
    assert found is not None
    assert (found.username, found.password) == ("NEW", Secret("old secret"))


def test_without_a_store_nothing_is_saved(core: Core, paths: Paths):
    with pytest.raises(CredentialStoreError):
        core.instances.save("offsite", "aws_s3", {"container": "c"}, {"secret_key": Secret("wJalr")})
    assert file_text(paths) == ""
    with pytest.raises(CredentialStoreError):
        core.credentials.set("aws_s3", "AKIA", Secret("wJalr"))
    assert file_text(paths) == ""
    assert core.credentials.status().state is StoreState.UNAVAILABLE


def test_when_the_file_cannot_be_written_the_store_is_as_before(
    core: Core, paths: Paths, secret_service: SecretService, monkeypatch: pytest.MonkeyPatch
):
    core.instances.save("aws_s3", "aws_s3", {"container": "c"}, {"secret_key": Secret("first")})
    before = file_text(paths)

    def full(self: object, name: str, key: str, value: object) -> None:
        raise InvalidConfiguration("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(file.ConfigDraft, "set", full)
        for name in ("aws_s3", "second"):
            with pytest.raises(InvalidConfiguration, match="no space"):
                core.instances.save(name, "aws_s3", {"container": "other"}, {"secret_key": Secret("second")})
    found = CredentialStore(paths).get("aws_s3")
    assert found is not None
    assert found.password == Secret("first")
    assert CredentialStore(paths).get("second") is None
    assert [info.name for info in core.instances.all()] == ["local", "aws_s3"]
    assert core.instances.get("aws_s3").container == "c"
    assert before.count("container") == file_text(paths).count("container")


def test_a_wrong_field_of_a_form_is_named_before_anything_is_saved(
    core: Core, paths: Paths, secret_service: SecretService
):
    with pytest.raises(InvalidConfiguration) as caught:
        core.instances.save("x", "aws_s3", {"container": "c", "timeout": "soon"}, {"secret_key": Secret("s")})
    assert caught.value.field == "timeout"
    assert CredentialStore(paths).get("x") is None
    assert file_text(paths) == ""


def test_local_takes_no_credentials(core: Core, secret_service: SecretService):
    with pytest.raises(InvalidConfiguration, match="takes no credentials"):
        core.credentials.set("local", None, Secret("x"))


def test_credentials_create_the_instance_of_a_service(core: Core, secret_service: SecretService):
    core.credentials.set("aws_s3", "AKIA", Secret("s"))
    info = core.instances.get("aws_s3")
    assert info.has_credentials
    assert info.settings["access_key"] == "AKIA"
    assert core.credentials.remove("aws_s3") is True
    assert core.credentials.remove("aws_s3") is False
    assert not core.instances.get("aws_s3").has_credentials


def test_enabling_requires_a_passed_check_of_the_current_settings(core: Core):
    core.instances.set_setting("aws_s3", "container", "c")
    with pytest.raises(InvalidConfiguration, match="not passed a check") as caught:
        core.instances.set_enabled("aws_s3", True)
    assert caught.value.remedies == (Remedy(Action.CHECK, "aws_s3"),)
    refused = report(ok=False)
    core.instances.record_check("aws_s3", refused)
    with pytest.raises(InvalidConfiguration):
        core.instances.set_setting("aws_s3", "enabled", "true")
    assert core.instances.get("aws_s3").last_report == refused
    assert core.instances.record_check("aws_s3", report(ok=True)).check_ok
    assert core.instances.set_enabled("aws_s3", True).state is InstanceState.READY
    core.instances.set_setting("aws_s3", "container", "other")
    assert core.instances.get("aws_s3").check_ok is None
    assert core.instances.get("aws_s3").last_report is None
    assert core.instances.set_enabled("aws_s3", False).state is InstanceState.DISABLED


def test_enabling_an_incomplete_instance_says_what_is_missing(core: Core):
    core.instances.set_setting("aws_s3", "region", "eu-central-1")
    core.instances.record_check("aws_s3", report(ok=True))
    with pytest.raises(ProviderError, match="container"):
        core.instances.set_enabled("aws_s3", True)


def test_an_unknown_instance_is_named(core: Core):
    with pytest.raises(InvalidConfiguration, match="'nope'"):
        core.instances.get("nope")


def test_a_broken_file_is_kept_and_named(core: Core, paths: Paths):
    paths.config_dir.mkdir(parents=True)
    paths.config_file.write_text('{"version": 1,\n "providers": {oops}}')
    with pytest.raises(InvalidConfiguration, match="line 2"):
        core.instances.set_setting("aws_s3", "container", "c")
    assert "oops" in file_text(paths)


def test_local_folders_are_listed_with_kinds(core: Core, tmp_path: Path):
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "a").write_bytes(b"12345")
    (folder / "sub").mkdir()
    (folder / "link").symlink_to("/etc/passwd")
    os.mkfifo(folder / "pipe")
    (Path(os.fsdecode(os.fsencode(folder) + b"/\xff"))).write_bytes(b"")
    found = {entry.name: entry for entry in core.list_local(folder)}
    assert {name: entry.kind for name, entry in found.items()} == {
        "a": ItemKind.FILE,
        "sub": ItemKind.DIRECTORY,
        "link": ItemKind.SYMLINK,
        "pipe": ItemKind.OTHER,
        "\udcff": ItemKind.FILE,
    }
    assert found["a"].size_bytes == 5
    with pytest.raises(NotFound):
        core.list_local(tmp_path / "gone")
    with pytest.raises(NotFound):
        core.list_local(folder / "a")
