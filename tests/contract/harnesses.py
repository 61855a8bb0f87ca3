"""The one place where a harness is registered."""

from __future__ import annotations

from tests.contract.b2_harness import B2
from tests.contract.drive_harness import DRIVE
from tests.contract.dropbox_harness import DROPBOX
from tests.contract.harness import Harness
from tests.contract.local_harness import LOCAL
from tests.contract.s3_harness import MOTO, RCLONE

HARNESSES: tuple[Harness, ...] = (LOCAL, RCLONE, MOTO, B2, DROPBOX, DRIVE)
