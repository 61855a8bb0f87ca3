"""One provider used by several threads."""

from __future__ import annotations

from providers.testing.suite.objects.test_concurrency import *  # noqa: F403
