"""Replacing, refusing to replace, and deleting."""

from __future__ import annotations

from providers.testing.suite.objects.test_overwrite_delete import *  # noqa: F403
