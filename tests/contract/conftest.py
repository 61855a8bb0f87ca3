"""Every test of this folder that takes `root` or `harness` runs over every registered harness."""

from __future__ import annotations

import pytest

from providers.testing.fixtures import *  # noqa: F403
from providers.testing.fixtures import over
from tests.contract.harnesses import HARNESSES


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    over(metafunc, HARNESSES)
