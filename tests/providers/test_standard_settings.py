"""The guide's standard settings in each of our services: applicable ones work, others are hidden and refused.

`tests/contract/test_settings.py` shows the effect of each setting, for every service over its server;
`tests/backup/test_instances.py` covers those of instances (`enabled`, `credentials_key`).
"""

from __future__ import annotations

from typing import Annotated, Any

import pytest

from providers import registry, settings
from providers.errors import InvalidConfiguration
from providers.secret import Secret
from providers.settings import STANDARD_FIELDS, ProviderSettings, setting

GUIDE: dict[str, Any] = {
    "enabled": False, "credentials_key": "new_provider", "container": "homeserver-backups", "container_type": "bucket",
    "username": "", "password": "", "api_key": "", "secret_key": "", "region": "us-east-1", "max_retries": 3,
    "retry_delay": 1.0, "timeout": 300, "max_bandwidth": None, "upload_chunk_size": 104857600,
    "encryption_enabled": False, "encryption_key": None, "encryption_salt": None, "connection_pool_size": 5,
}  # fmt: skip
OTHER: dict[str, Any] = {
    "enabled": True, "credentials_key": "k", "container": "c", "container_type": "vault", "username": "u",
    "password": "p", "api_key": "a", "secret_key": "s", "region": "eu-west-1", "max_retries": 7, "retry_delay": 2.5,
    "timeout": 60.0, "max_bandwidth": 100_000, "upload_chunk_size": 8 << 20, "encryption_enabled": True,
    "encryption_key": "e", "encryption_salt": "t", "connection_pool_size": 9,
}  # fmt: skip
"""Each standard setting with a value other than its default."""
NOWHERE = {"container_type", "username", "password", "api_key"}
"""Not used by any of our services; username and password are replaced by the service's own pair."""
APPLIES = {
    "local": set(STANDARD_FIELDS) - NOWHERE - {"secret_key", "region", "timeout"},
    "aws_s3": set(STANDARD_FIELDS) - NOWHERE,
    "backblaze": set(STANDARD_FIELDS) - NOWHERE - {"secret_key", "region"},
    "dropbox": set(STANDARD_FIELDS) - NOWHERE - {"secret_key", "region"},
    "google_drive": set(STANDARD_FIELDS) - NOWHERE - {"secret_key", "region"},
}


def settings_of(service: str) -> type[ProviderSettings]:
    found = registry.spec(service).settings
    assert found is not None
    return found


def test_every_standard_setting_and_every_service_is_covered() -> None:
    assert set(GUIDE) == set(OTHER) == set(STANDARD_FIELDS)
    assert set(APPLIES) == set(registry.EMBEDDED)


@pytest.mark.parametrize("service", registry.EMBEDDED)
@pytest.mark.parametrize("name", STANDARD_FIELDS)
def test_applicable_settings_work_and_others_are_hidden_and_refused(service: str, name: str) -> None:
    cls, value = settings_of(service), OTHER[name]
    shown = {item.name for item in settings.describe(cls)}
    assert (name in shown) is (name in APPLIES[service])
    if name in shown:
        wanted = Secret(value) if settings.field(cls, name).secret else value
        assert getattr(settings.load(cls, {name: value}), name) == wanted
        return
    with pytest.raises(InvalidConfiguration, match="no effect") as caught:
        settings.parse(cls, name, str(value))
    assert caught.value.field == name
    if name in {"username", "password"} and cls.credential_pair:
        own = cls.credential_pair[name == "password"]
        found = getattr(settings.load(cls, {name: value}), own)
        assert (found.reveal() if isinstance(found, Secret) else found) == value
        return
    with pytest.raises(InvalidConfiguration, match="no effect") as caught:
        settings.load(cls, {name: value})
    assert caught.value.field == name


@pytest.mark.parametrize("service", registry.EMBEDDED)
def test_the_guide_s_whole_structure_may_be_pasted(service: str) -> None:
    loaded = settings.load(settings_of(service), GUIDE)
    assert (loaded.container, loaded.upload_chunk_size) == ("homeserver-backups", 100 * 2**20)
    assert loaded.max_bandwidth is None


@pytest.mark.parametrize("service", registry.EMBEDDED)
def test_network_services_have_the_network_settings(service: str) -> None:
    """Their effect is shown in `tests/contract/test_network.py`, that of `profile` in `test_s3_environment.py`."""
    cls = settings_of(service)
    shown = {item.name for item in settings.describe(cls)}
    offered = {"ca_bundle", "proxy", "proxy_password"} if service != "local" else set()
    offered |= {"profile"} if service == "aws_s3" else set()
    for name in ("ca_bundle", "proxy", "proxy_password", "profile"):
        assert (name in shown) is (name in offered)
        if name not in offered:
            with pytest.raises(InvalidConfiguration, match="no effect") as caught:
                settings.parse(cls, name, "/x")
            assert caught.value.field == name
            with pytest.raises(InvalidConfiguration, match="no effect"):
                settings.load(cls, {name: "/x"})


HOW = {"max_retries", "retry_delay", "timeout", "max_bandwidth", "upload_chunk_size", "connection_pool_size"}
STANDARD_ELSEWHERE = {"enabled", "credentials_key", "container_type", "username", "region", "encryption_enabled"} | HOW


@pytest.mark.parametrize("service", registry.EMBEDDED)
def test_each_setting_says_whether_place_check_and_recovery_kit_depend_on_it(service: str) -> None:
    """What is kept in journals and configurations was computed so, and has to be found again."""
    cls = settings_of(service)
    of_the_way = set() if service == "local" else {"ca_bundle", "proxy"}
    of_the_way |= {"profile"} if service == "aws_s3" else set()
    assert settings.without(cls, "place") == STANDARD_ELSEWHERE | of_the_way
    assert settings.without(cls, "checked") == HOW | {"enabled"}
    assert settings.without(cls, "portable") == {"enabled", "credentials_key"}


def test_a_plug_in_says_it_of_its_own_settings_and_inherits_the_rest() -> None:
    class Acme(ProviderSettings, kw_only=True, frozen=True):
        region: Annotated[str, setting("Region", "Described again.")] = "x"
        shelf: Annotated[str, setting("Shelf", "Where.")] = ""
        pace: Annotated[int, setting("Pace", "How fast.", place=False, checked=False)] = 1

    assert settings.without(Acme, "place") == STANDARD_ELSEWHERE | {"pace"}
    assert settings.without(Acme, "checked") == HOW | {"enabled", "pace"}
