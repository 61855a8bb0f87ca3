"""Declared settings of a guide-style class: accepted, or refused with a helpful message."""

from __future__ import annotations

from typing import Any

import pytest

from providers.errors import InvalidConfiguration
from providers.guide.settings import settings_of
from providers.settings import describe


def declaring(**attributes: Any) -> type:
    return type("Acme", (), attributes)


def offered(**attributes: Any) -> set[str]:
    return {field.name for field in describe(settings_of(declaring(**attributes)))}


@pytest.mark.parametrize("names", [("region",), ["region"], {"region"}, frozenset({"region"})])
def test_only_settings_declared_unused_are_not_offered(names: Any) -> None:
    assert offered() - offered(not_applicable=names) == {"region"}


def test_the_declared_credential_names_are_always_offered() -> None:
    pair = ("api_key", "secret_key")
    assert set(pair) <= offered(credential_pair=pair, not_applicable={"username", "password", "api_key"})
    assert settings_of(declaring(credential_pair=list(pair))).credential_pair == pair


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"not_applicable": "region"}, "not_applicable must be a collection of names"),
        ({"not_applicable": 5}, "not_applicable must be a collection of names"),
        ({"not_applicable": [["region"]]}, "not_applicable must be a collection of names"),
        ({"not_applicable": {"regoin"}}, "regoin is none"),
        ({"not_applicable": {"enabled"}}, "must not name enabled"),
        ({"credential_pair": "username"}, "credential_pair must be a collection of names"),
        ({"credential_pair": 5}, "credential_pair must be a collection of names"),
        ({"credential_pair": ("api_key",)}, "must be two names, not 1"),
        ({"credential_pair": ("api_key", "api_key")}, "must be two names, not 1"),
        ({"credential_pair": ("username", "password", "api_key")}, "must be two names, not 3"),
        ({"credential_pair": ("user", "password")}, "user is none"),
    ],
)
def test_an_invalid_declaration_is_refused_by_name(attributes: dict[str, Any], expected: str) -> None:
    with pytest.raises(InvalidConfiguration, match=f"Acme.*{expected}"):
        settings_of(declaring(**attributes))
