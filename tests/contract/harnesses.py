"""Registry of all harnesses.

The environment variable CONTRACT_HARNESS adds one for an external service, as `module:NAME`.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from providers.testing.harness import Harness, named_outside
from tests.contract.b2_harness import B2
from tests.contract.drive_harness import DRIVE
from tests.contract.dropbox_harness import DROPBOX
from tests.contract.guide_harness import ACME
from tests.contract.local_harness import LOCAL
from tests.contract.s3_harness import MOTO, RCLONE

HARNESSES: tuple[Harness, ...] = (LOCAL, RCLONE, MOTO, B2, DROPBOX, DRIVE, ACME)
HARNESSES += named_outside()


def only(harnesses: tuple[Harness, ...], fits: Callable[[Harness], object]) -> pytest.MarkDecorator:
    """Parametrises a test over the harnesses it applies to."""
    fitting = [harness for harness in harnesses if fits(harness)]
    return pytest.mark.parametrize("harness", fitting, ids=lambda harness: harness.name)
