"""Services that fail to load are listed with the reason and do not affect the others."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from importlib import metadata

import pytest

from providers import registry, settings
from providers.errors import InvalidConfiguration, Unsupported


@pytest.fixture
def plug_ins(tmp_path, monkeypatch):
    """Registers entry points for modules that the test writes."""
    monkeypatch.syspath_prepend(tmp_path)

    def register(entry_points, **modules):
        for name, source in modules.items():
            path = tmp_path / f"{name.replace('__', '/')}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(source))
        found = {
            name: metadata.EntryPoint(name, value, registry.ENTRY_POINT_GROUP) for name, value in entry_points.items()
        }
        monkeypatch.setattr(registry, "_plug_ins", lambda: found)
        monkeypatch.setattr(registry, "_failures", {})

    yield register
    for name in [name for name in sys.modules if name.startswith("acme")]:
        del sys.modules[name]


SETTINGS = '''
from typing import Annotated, ClassVar
from providers.settings import ProviderSettings, setting

class Settings(ProviderSettings, kw_only=True, frozen=True):
    """A store of the Acme company."""
    title: ClassVar[str] = "Acme"
    vault: Annotated[str, setting("Vault", "Which vault.")] = ""
'''


def test_our_own_services_are_described_without_their_sdk():
    code = (
        "import sys; from providers import registry; found = registry.specs();"
        "assert [item.name for item in found] == list(registry.EMBEDDED);"
        "assert all(item.title and item.summary and not item.unavailable for item in found);"
        "assert not {'b2sdk', 'boto3', 'botocore', 'obstore'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr


def test_providers_is_a_lazy_mapping():
    assert list(registry.PROVIDERS) == list(registry.EMBEDDED)
    assert len(registry.PROVIDERS) == len(registry.EMBEDDED)
    assert "aws_s3" in registry.PROVIDERS
    assert registry.PROVIDERS["aws_s3"].name == "aws_s3"
    assert registry.PROVIDERS["local"] is registry.load("local")
    with pytest.raises(KeyError):
        registry.PROVIDERS["acme"]


def test_the_error_for_an_unknown_service_lists_the_known_ones():
    with pytest.raises(InvalidConfiguration) as caught:
        registry.load("acme")
    assert caught.value.field == "type"
    assert "aws_s3" in caught.value.hint


def test_a_missing_sdk_makes_only_that_service_unavailable(monkeypatch):
    monkeypatch.setitem(sys.modules, "botocore", None)
    monkeypatch.setattr(registry, "_failures", {})
    found = registry.spec("aws_s3")
    assert found.unavailable == "not installed: botocore"
    assert found.settings is not None
    with pytest.raises(Unsupported, match="not installed: botocore"):
        registry.load("aws_s3")
    assert registry.load("local").name == "local"


def test_a_package_is_described_without_loading_its_provider(plug_ins):
    plug_ins(
        {"acme": "acme_store"},
        acme_store____init__="",
        acme_store__settings=SETTINGS,
        acme_store__provider="raise RuntimeError('the SDK is broken')",
    )
    found = registry.spec("acme")
    assert (found.title, found.summary, found.unavailable) == ("Acme", "A store of the Acme company.", "")
    assert found.settings is not None
    assert settings.field(found.settings, "vault").label == "Vault"
    assert "acme_store.provider" not in sys.modules

    with pytest.raises(Unsupported, match="RuntimeError: the SDK is broken"):
        registry.load("acme")
    assert registry.spec("acme").unavailable == "RuntimeError: the SDK is broken"
    assert [item.name for item in registry.specs()] == [*registry.EMBEDDED, "acme"]
    assert registry.load("local").name == "local"


def test_a_service_that_cannot_be_described_is_listed(plug_ins):
    plug_ins(
        {"acme": "acme_broken", "zeta": "no.such.module:Provider"},
        acme_broken____init__="",
        acme_broken__settings="x = (",
    )
    found = {item.name: item for item in registry.specs()}
    assert found["acme"].settings is None
    assert found["acme"].unavailable.startswith("SyntaxError")
    assert found["zeta"].unavailable == "not installed: no"
    with pytest.raises(Unsupported):
        registry.load("zeta")


def test_a_guide_style_class_needs_no_settings(plug_ins):
    plug_ins(
        {"acme": "acme_guide:AcmeProvider"},
        acme_guide="""
        from providers.base import BaseProvider

        class AcmeProvider(BaseProvider):
            name = "acme"
        """,
    )
    found = registry.spec("acme")
    assert found.settings is settings.ProviderSettings
    assert registry.load("acme").__name__ == "AcmeProvider"


def test_an_object_that_is_not_a_provider_is_refused(plug_ins):
    plug_ins({"acme": "acme_thing:thing"}, acme_thing="thing = 3")
    with pytest.raises(Unsupported, match="not a BaseProvider"):
        registry.load("acme")
    assert "not a BaseProvider" in registry.spec("acme").unavailable


def test_a_plug_in_cannot_replace_a_built_in_service(monkeypatch):
    mine = metadata.EntryPoint("local", "acme:Evil", registry.ENTRY_POINT_GROUP)
    odd = metadata.EntryPoint("No Name", "acme:Evil", registry.ENTRY_POINT_GROUP)
    monkeypatch.setattr(metadata, "entry_points", lambda *, group: [mine, odd])
    assert registry._plug_ins.__wrapped__() == {}
