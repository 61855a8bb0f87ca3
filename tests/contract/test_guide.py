"""The guide's unit tests, for every service; CONTRIBUTING.md lists the substitutions."""

from __future__ import annotations

from providers.testing.suite.service.test_guide import *  # noqa: F403
