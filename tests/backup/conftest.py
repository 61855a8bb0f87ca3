from __future__ import annotations

from collections.abc import Iterator

import pytest

from backup.system.paths import Paths
from tests.backup.queue_support import Workbench


@pytest.fixture
def bench(paths: Paths) -> Iterator[Workbench]:
    opened = Workbench(paths)
    yield opened
    opened.close()
