"""Data the service has is not sent again, and data it lacks is never claimed."""

from __future__ import annotations

from providers.testing.suite.transfers.test_resume import *  # noqa: F403
