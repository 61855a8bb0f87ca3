"""The connection check: five steps, the first failure with cause and fix, nothing left behind."""

from __future__ import annotations

from providers.testing.suite.service.test_probe import *  # noqa: F403
