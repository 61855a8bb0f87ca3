"""Modes, owners and groups of files: stored with the object and restored as far as allowed."""

from __future__ import annotations

from providers.testing.suite.objects.test_attributes import *  # noqa: F403
