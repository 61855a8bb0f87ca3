"""Runs every test in this folder that takes `root` or `harness` over every registered harness."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from providers.testing.harness import Harness, Root
from tests.contract.harnesses import HARNESSES


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "needs(fits): made only for the harnesses that fit (providers/testing/harness.py)"
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "harness" not in metafunc.fixturenames:
        return
    chosen = [mark.args[0] for mark in metafunc.definition.iter_markers("parametrize")]
    if not any("harness" in names for names in chosen):
        needed = [mark.args[0] for mark in metafunc.definition.iter_markers("needs")]
        fitting = [harness for harness in HARNESSES if not harness.to_do and all(fits(harness) for fits in needed)]
        metafunc.parametrize("harness", fitting, ids=lambda harness: harness.name)


@pytest.fixture
def root(harness: Harness, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Root]:
    """A fresh container of this harness."""
    with harness.open(request.getfixturevalue, tmp_path) as opened:
        yield opened


@pytest.fixture
def learnt(root: Root) -> None:
    """Discovers what this server enforces before the test begins, so that those requests are not counted."""
    root.ready()
