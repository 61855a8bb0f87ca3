"""A missing object or container is NotFound: never an empty answer, never a success."""

from __future__ import annotations

from providers.testing.suite.objects.test_absent import *  # noqa: F403
