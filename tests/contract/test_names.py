"""Names are kept byte for byte or refused with a reason: never changed, never confused."""

from __future__ import annotations

from providers.testing.suite.objects.test_names import *  # noqa: F403
