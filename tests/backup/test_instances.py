"""Instances, combined from configuration, credentials and services."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from backup.config import file
from backup.credentials import CredentialStore, CredentialStoreError
from backup.instances import describing, editing, opening
from backup.instances.plain_secrets import adopt_secrets
from backup.model.instances import InstanceState
from backup.system.paths import Paths
from providers import registry
from providers.contract.report import ConnectionReport
from providers.errors import InvalidConfiguration
from providers.secret import MASK, Secret
from tests.credentials_fixture import SecretService


def configure(paths: Paths, **providers: dict[str, Any]) -> None:
    paths.config_dir.mkdir(parents=True, exist_ok=True)
    paths.config_file.write_text(json.dumps({"version": 1, "providers": providers}))


def test_local_needs_no_configuration(paths: Paths):
    provider = opening.open_provider(paths, "local")
    assert provider.name == "local"
    assert provider.settings.container == str(paths.local_storage)
    provider.close()
    info = describing.describe(paths, "local")
    assert info.state is InstanceState.READY
    assert info.enabled
    assert info.has_credentials is None


def test_two_instances_of_one_service_coexist(paths: Paths):
    configure(
        paths,
        aws_s3={"container": "a", "region": "eu-central-1"},
        minio={"type": "aws_s3", "container": "b", "endpoint_url": "http://127.0.0.1:9000", "enabled": True},
    )
    infos = {info.name: info for info in describing.describe_all(paths)}
    assert list(infos) == ["local", "aws_s3", "minio"]
    assert infos["minio"].type == "aws_s3"
    assert infos["minio"].state is InstanceState.READY
    assert infos["aws_s3"].state is InstanceState.DISABLED
    first, second = (opening.open_provider(paths, name) for name in ("aws_s3", "minio"))
    assert first.location != second.location
    first.close()
    second.close()


def test_credentials_from_the_keyring_get_the_names_of_the_service(paths: Paths, secret_service: SecretService):
    configure(paths, offsite={"type": "aws_s3", "container": "c", "credentials_key": "shared"})
    editing.store_credentials(
        paths, "offsite", "AKIAEXAMPLE", {"password": Secret("wJalr"), "session_token": Secret("t0ken")}
    )
    provider = opening.open_provider(paths, "offsite")
    assert getattr(provider.settings, "access_key") == "AKIAEXAMPLE"  # noqa: B009
    assert provider.settings.secret_key == Secret("wJalr")
    assert getattr(provider.settings, "session_token") == Secret("t0ken")  # noqa: B009
    provider.close()
    assert CredentialStore(paths).has("shared")
    info = describing.describe(paths, "offsite")
    assert info.has_credentials is True
    assert info.settings["secret_key"] == MASK
    assert info.settings["access_key"] == "AKIAEXAMPLE"
    assert "wJalr" not in repr(info)


@pytest.mark.parametrize("service", registry.EMBEDDED)
def test_every_service_respects_enabled_and_its_credentials_key(
    paths: Paths, secret_service: SecretService, service: str, tmp_path: Path
):
    """Whether it is used for transfers, and the name its secrets are stored under."""
    (described,) = (found for found in describing.describe_services() if found.name == service)
    values = {field.name: "x" for field in described.fields if field.required and not field.secret}
    values |= {"type": service, "container": str(tmp_path), "credentials_key": "shared"}
    configure(paths, off=values, on={**values, "enabled": True})
    pair = described.credential_pair
    own = {pair[1]: Secret("its own")} if pair else {}
    editing.store_credentials(paths, "on", "its id" if pair else None, {**own, "encryption_key": Secret("passphrase")})
    assert CredentialStore(paths).has("shared")
    for name, state in (("off", InstanceState.DISABLED), ("on", InstanceState.READY)):
        assert describing.describe(paths, name).state is state
    provider = opening.open_provider(paths, "on")
    assert provider.settings.encryption_key == Secret("passphrase")
    provider.close()


def test_half_a_pair_may_be_changed(paths: Paths, secret_service: SecretService):
    configure(paths, aws_s3={"container": "c"})
    editing.store_credentials(paths, "aws_s3", "first", {"secret_key": Secret("one")})
    editing.store_credentials(paths, "aws_s3", None, {"secret_key": Secret("two")})
    found = CredentialStore(paths).get("aws_s3")
    assert found is not None
    assert (found.username, found.password) == ("first", Secret("two"))
    editing.store_credentials(paths, "aws_s3", "", {"secret_key": Secret("")})
    assert not CredentialStore(paths).has("aws_s3")
    assert editing.remove_credentials(paths, "aws_s3") is False


def test_a_setting_that_is_not_secret_is_refused_as_credential(paths: Paths, secret_service: SecretService):
    configure(paths, aws_s3={"container": "c"})
    with pytest.raises(InvalidConfiguration, match="region: is not a secret"):
        editing.store_credentials(paths, "aws_s3", None, {"region": Secret("x")})
    with pytest.raises(InvalidConfiguration, match="no effect"):
        editing.store_credentials(paths, "aws_s3", None, {"api_key": Secret("x")})
    assert file.load(paths).credentials == {}


def test_credentials_missing_in_the_keyring_are_reported(paths: Paths, secret_service: SecretService):
    configure(paths, aws_s3={"container": "c"})
    editing.store_credentials(paths, "aws_s3", "u", {"password": Secret("p")})
    noted = paths.config_file.read_text()
    CredentialStore(paths).remove("aws_s3")
    paths.config_file.write_text(noted)
    with pytest.raises(CredentialStoreError, match="no longer in the keyring") as caught:
        opening.open_provider(paths, "aws_s3")
    assert caught.value.code == "missing"


def test_without_listed_credentials_no_keyring_is_needed(paths: Paths):
    configure(paths, aws_s3={"container": "c", "profile": "home"})
    opening.open_provider(paths, "aws_s3").close()
    assert describing.describe(paths, "aws_s3").has_credentials is False


def test_a_draft_takes_what_it_leaves_out_from_the_saved_instance(paths: Paths, secret_service: SecretService):
    configure(paths, aws_s3={"container": "saved", "region": "eu-west-1"})
    editing.store_credentials(paths, "aws_s3", "user", {"secret_key": Secret("kept")})
    draft = opening.open_draft(paths, "aws_s3", {"container": "typed", "timeout": " "}, {}, instance="aws_s3")
    assert draft.settings.container == "typed"
    assert draft.settings.region == "eu-west-1"
    assert draft.settings.timeout == 300
    assert draft.settings.secret_key == Secret("kept")
    draft.close()
    other = opening.open_draft(paths, "aws_s3", {}, {"secret_key": Secret("new")}, instance="aws_s3")
    assert other.settings.secret_key == Secret("new")
    other.close()
    assert file.load(paths).instances["aws_s3"].values["container"] == "saved"


def test_a_draft_names_the_wrong_field(paths: Paths):
    with pytest.raises(InvalidConfiguration) as caught:
        opening.open_draft(paths, "aws_s3", {"timeout": "soon"}, {})
    assert caught.value.field == "timeout"
    with pytest.raises(InvalidConfiguration, match="secret_key: is a secret"):
        opening.open_draft(paths, "aws_s3", {"secret_key": "typed in the clear"}, {})


def test_states_say_why(paths: Paths, monkeypatch: pytest.MonkeyPatch):
    configure(
        paths,
        aws_s3={"container": ""},
        wrong={"type": "aws_s3", "container": "c", "max_retries": "many"},
        strange={"type": "floppy"},
    )
    infos = {info.name: info for info in describing.describe_all(paths)}
    assert infos["aws_s3"].state is InstanceState.INCOMPLETE
    assert infos["aws_s3"].problem is not None
    assert infos["aws_s3"].problem.code == "container"
    assert infos["wrong"].state is InstanceState.INVALID
    assert infos["wrong"].problem is not None
    assert infos["wrong"].problem.code == "max_retries"
    assert infos["strange"].state is InstanceState.INVALID
    assert infos["local"].state is InstanceState.READY


def test_a_service_that_cannot_be_loaded_is_listed_and_the_rest_works(paths: Paths, monkeypatch: pytest.MonkeyPatch):
    configure(paths, aws_s3={"container": "c"})
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "botocore" else real(name))
    services = {service.name: service for service in describing.describe_services()}
    assert "botocore" in services["aws_s3"].unavailable
    assert services["local"].unavailable == ""
    infos = {info.name: info for info in describing.describe_all(paths)}
    assert infos["aws_s3"].state is InstanceState.UNAVAILABLE
    assert infos["local"].state is InstanceState.READY


def test_services_describe_their_fields(paths: Paths):
    services = {service.name: service for service in describing.describe_services()}
    assert services["aws_s3"].credential_pair == ("access_key", "secret_key")
    assert "endpoint_url" in {field.name for field in services["aws_s3"].fields}
    assert "password" not in {field.name for field in services["aws_s3"].fields}


def test_a_broken_file_makes_nothing_usable(paths: Paths):
    paths.config_dir.mkdir(parents=True)
    paths.config_file.write_text("{")
    assert [info.state for info in describing.describe_all(paths)] == [InstanceState.INVALID]
    with pytest.raises(InvalidConfiguration, match="line 1"):
        opening.open_provider(paths, "local")


def test_a_check_counts_until_a_setting_it_depends_on_changes(paths: Paths):
    configure(paths, aws_s3={"container": "c"})
    editing.record_check(paths, "aws_s3", ConnectionReport(steps=(), checked_at=1000.0))
    assert describing.describe(paths, "aws_s3").check_ok is True
    with file.edit(paths) as draft:
        draft.set("aws_s3", "max_bandwidth", 100_000)
        draft.set("aws_s3", "enabled", True)
    assert describing.describe(paths, "aws_s3").checked_at == 1000.0
    with file.edit(paths) as draft:
        draft.set("aws_s3", "container", "another")
    assert describing.describe(paths, "aws_s3").check_ok is None
    assert describing.current_check(file.load(paths), "aws_s3") is None


def test_new_credentials_need_a_new_check(paths: Paths, secret_service: SecretService):
    configure(paths, aws_s3={"container": "c"})
    editing.store_credentials(paths, "aws_s3", "u", {"password": Secret("p")})
    editing.record_check(paths, "aws_s3", ConnectionReport(steps=(), checked_at=1000.0))
    assert describing.describe(paths, "aws_s3").check_ok is True
    editing.store_credentials(paths, "aws_s3", None, {"password": Secret("q")})
    assert describing.describe(paths, "aws_s3").check_ok is None


def test_secrets_in_the_file_move_to_the_keyring(paths: Paths, secret_service: SecretService):
    configure(
        paths,
        aws_s3={"container": "c", "username": "AK", "password": "hunter2", "session_token": "t0ken", "api_key": ""},
        local={"encryption_key": None},
    )
    adopted = adopt_secrets(paths)
    assert sorted(adopted.moved) == ["aws_s3.password", "aws_s3.session_token"]
    assert adopted.left == ()
    text = paths.config_file.read_text()
    assert "hunter2" not in text
    assert "t0ken" not in text
    provider = opening.open_provider(paths, "aws_s3")
    assert provider.settings.secret_key == Secret("hunter2")
    assert getattr(provider.settings, "access_key") == "AK"  # noqa: B009
    provider.close()
    assert adopt_secrets(paths).moved == ()


def test_without_a_keyring_secrets_in_the_file_are_reported_and_left(paths: Paths):
    configure(paths, aws_s3={"container": "c", "secret_key": "hunter2"})
    before = paths.config_file.read_bytes()
    adopted = adopt_secrets(paths)
    assert adopted.moved == ()
    assert adopted.left == ("aws_s3.secret_key",)
    assert adopted.problem is not None
    assert adopted.problem.kind == "credential_store"
    assert paths.config_file.read_bytes() == before


def test_a_secret_without_a_setting_is_left_and_blocks_no_other(paths: Paths, secret_service: SecretService):
    configure(paths, aws_s3={"container": "c", "my_token": "x1", "secret_key": "hunter2"})
    adopted = adopt_secrets(paths)
    assert adopted.moved == ("aws_s3.secret_key",)
    assert adopted.left == ("aws_s3.my_token",)


def test_describing_loads_no_sdk_and_no_keyring(paths: Paths):
    configure(paths, aws_s3={"container": "c"})
    script = (
        "import sys; from backup.instances import describing; from backup.system.paths import Paths;"
        "assert len(describing.describe_all(Paths.default())) == 2; assert describing.describe_services();"
        "print({'boto3', 'botocore', 'obstore', 'keyring', 'textual', 'secretstorage'} & sys.modules.keys())"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True, env=paths.environment()
    )
    assert done.stdout.strip() == "set()"
