"""Reading part of an object."""

from __future__ import annotations

from providers.testing.suite.objects.test_range import *  # noqa: F403
