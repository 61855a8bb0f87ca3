"""pytest plugin that runs the contract suite over the harness named in CONTRACT_HARNESS as `module:NAME`:

CONTRACT_HARNESS=my_harness:HARNESS python -m pytest -p providers.testing.plugin --pyargs providers.testing.suite
"""

from __future__ import annotations

import pytest

from providers.testing.fixtures import *  # noqa: F403
from providers.testing.fixtures import over
from providers.testing.harness import named_outside


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    over(metafunc, named_outside())
