"""pytest plugin that runs the contract suite over the harness named in CONTRACT_HARNESS as `module:NAME`:

CONTRACT_HARNESS=my_harness:HARNESS python -m pytest -p providers.testing.plugin --pyargs providers.testing.suite
"""

from __future__ import annotations

import pytest

from providers.testing import fixtures
from providers.testing.fixtures import learnt, pytest_collection_modifyitems, root
from providers.testing.harness import named_outside

__all__ = ["learnt", "pytest_collection_modifyitems", "pytest_configure", "pytest_generate_tests", "root"]


def pytest_configure(config: pytest.Config) -> None:
    if not named_outside():
        raise pytest.UsageError("CONTRACT_HARNESS is not set: name your harness in it, as module:NAME")
    fixtures.pytest_configure(config)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    fixtures.over(metafunc, named_outside())
