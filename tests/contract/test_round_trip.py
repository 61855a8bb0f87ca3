"""Uploads come back complete: every byte and the mtime, at every size where behaviour changes."""

from __future__ import annotations

from providers.testing.suite.objects.test_round_trip import *  # noqa: F403
