"""A source that changes between its first and last byte is never a success."""

from __future__ import annotations

from providers.testing.suite.transfers.test_source import *  # noqa: F403
