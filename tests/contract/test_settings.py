"""Every standard setting has an effect."""

from __future__ import annotations

from providers.testing.suite.service.test_settings import *  # noqa: F403
