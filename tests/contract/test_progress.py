"""Progress: absolute, never decreasing, one call at a time, and the total only after the proof."""

from __future__ import annotations

from providers.testing.suite.transfers.test_progress import *  # noqa: F403
