"""Marks that choose the harnesses a contract test runs over."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from providers.testing.harness import Harness


def in_parts(harness: Harness) -> bool:
    return harness.capabilities.max_parts != 1


def resumes(harness: Harness) -> bool:
    return harness.capabilities.resumable_uploads


def keeps_mtime(harness: Harness) -> bool:
    return harness.limits.keeps_mtime


def shows_whole_alone(harness: Harness) -> bool:
    return harness.limits.shows_whole_alone


def obeys_bandwidth(harness: Harness) -> bool:
    return harness.limits.obeys_bandwidth


def needs(fits: Callable[[Harness], bool]) -> pytest.MarkDecorator:
    """Leaves the test out for harnesses it does not apply to."""
    return pytest.mark.needs.with_args(fits)
