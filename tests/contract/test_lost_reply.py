"""A lost answer after a completed request is detected: neither repeated blindly nor reported as a failure."""

from __future__ import annotations

from providers.testing.suite.transfers.test_lost_reply import *  # noqa: F403
