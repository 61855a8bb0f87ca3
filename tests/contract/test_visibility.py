"""Nothing is visible under its final name before it is complete."""

from __future__ import annotations

from providers.testing.suite.transfers.test_visibility import *  # noqa: F403
