"""A class in the style of the guide under the contract tests that apply to it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from providers.errors import ProviderError
from providers.testing.guide_style import guide_style


def _folder(tmp: Path) -> Mapping[str, str]:
    (tmp / "other").mkdir()
    return {"container": str(tmp / "other")}


ACME = guide_style(
    "acme",
    lambda fixture, tmp: {"container": str(fixture("acme"))},
    other_container=_folder,
    missing_container={"container": "/nowhere/at/all"},
    broken_names={"long segment": ProviderError, "too long": ProviderError},
    keeps_emptied_folders=False,
)
"""The guide's class of `tests/guide_plug_in.py`, which keeps its files in a folder."""
