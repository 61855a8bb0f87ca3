"""The one place where a harness is registered.

One more, of a service that is no part of this program, is named as `module:NAME` in the environment variable
CONTRACT_HARNESS.
"""

from __future__ import annotations

import importlib
import os

from tests.contract.b2_harness import B2
from tests.contract.drive_harness import DRIVE
from tests.contract.dropbox_harness import DROPBOX
from tests.contract.guide_harness import ACME
from tests.contract.harness import Harness
from tests.contract.local_harness import LOCAL
from tests.contract.s3_harness import MOTO, RCLONE


def _named(where: str) -> tuple[Harness, ...]:
    module, _, name = where.partition(":")
    return (getattr(importlib.import_module(module), name),) if where else ()


HARNESSES: tuple[Harness, ...] = (LOCAL, RCLONE, MOTO, B2, DROPBOX, DRIVE, ACME)
HARNESSES += _named(os.environ.get("CONTRACT_HARNESS", ""))
