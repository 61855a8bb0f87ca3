"""A cancelled transfer stops within a second, even if no byte moves, and is never retried."""

from __future__ import annotations

from providers.testing.suite.transfers.test_cancel import *  # noqa: F403
