"""Real folders: listed by `scan_tree`, and removed when empty."""

from __future__ import annotations

from providers.testing.suite.objects.test_folders import *  # noqa: F403
