"""The settings tables in the READMEs match the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import providers
from providers import registry, settings
from providers.errors import InvalidConfiguration
from providers.settings import FieldKind

ROW = re.compile(r"^\| `(\w+)` \| (.+?) \| (.+?) \| (.+?) \|$", re.MULTILINE)
SECTIONS = ["Overview", "Configuration", "Setup Instructions", "Usage Examples", "Troubleshooting", "Security Features"]


def readme(service):
    return (Path(providers.__file__).parent / service / "README.md").read_text()


def default(field):
    if field.required:
        return "**required**"
    if field.default is None:
        return "none"
    if field.default == "":
        return "empty"
    text = str(field.default).lower() if isinstance(field.default, bool) else str(field.default)
    return f"`{text}`" + (f" {field.unit}" if field.unit else "")


@pytest.mark.parametrize("service", registry.EMBEDDED)
def test_the_settings_table_matches_the_code(service):
    cls = registry.spec(service).settings
    assert cls is not None
    wanted = [(field.name, field.label, default(field), field.help) for field in settings.describe(cls)]
    assert ROW.findall(readme(service).partition("## Setup")[0]) == wanted


@pytest.mark.parametrize("service", registry.EMBEDDED)
def test_the_guide_s_sections_exist(service):
    titles = re.findall(r"^## (.+)$", readme(service), re.MULTILINE)
    assert [title for title in titles if title in SECTIONS] == SECTIONS


@pytest.mark.parametrize("service", registry.EMBEDDED)
def test_every_refused_setting_is_named(service):
    cls = registry.spec(service).settings
    assert cls is not None
    assert all(f"`{name}`" in readme(service) for name in cls.not_applicable)


def test_b2_s_price_classes_match_those_that_status_counts():
    cls = registry.spec("backblaze").settings
    assert cls is not None
    rows = re.findall(r"^\| ([ABC]) \| .+? \| (.+) \|$", readme("backblaze"), re.MULTILINE)
    assert {kind: letter for letter, used in rows for kind in re.findall(r"`(b2_\w+)`", used)} == cls.price_classes


@pytest.mark.parametrize("service", registry.EMBEDDED)
def test_every_setting_can_be_displayed(service):
    """Each has what a form, the command line and the tables need: a label, a sentence, a unit, working limits."""
    cls = registry.spec(service).settings
    assert cls is not None
    for field in settings.describe(cls):
        assert field.label[:1].isupper(), field.name
        assert field.help.endswith("."), field.name
        assert field.secret is field.name.endswith(("_token", "secret", "_key", "_salt", "_json", "password")) or (
            field.name in {"credentials_key", "access_key", "app_key"} and not field.secret
        )
        assert not (field.secret and field.placeholder), field.name
        assert (field.kind is FieldKind.BYTES) is field.unit.startswith("bytes")
        for limit, beyond in ((field.minimum, -1), (field.maximum, 1)):
            if limit is not None:
                with pytest.raises(InvalidConfiguration, match=field.name):
                    settings.parse(cls, field.name, f"{limit + beyond:.12g}")
        if field.required and not field.secret:
            with pytest.raises(InvalidConfiguration, match="must not be empty"):
                settings.parse(cls, field.name, "")
            assert field.placeholder, field.name
