"""Marks that choose the harnesses a contract test runs over, and the cases of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from providers.testing.harness import Harness


def needs(fits: Callable[[Harness], object]) -> pytest.MarkDecorator:
    """The test runs only over harnesses that fit."""
    return pytest.mark.needs.with_args(fits)


Case = tuple[str, tuple[Any, ...]]
"""An id, and the values of the arguments."""


def cases(names: tuple[str, ...], of: Callable[[Harness], Iterable[Case]]) -> pytest.MarkDecorator:
    """The test runs over each case of each harness, with its values as the arguments `names`."""
    return pytest.mark.cases.with_args(names, of)


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


def checks_credentials(harness: Harness) -> bool:
    return bool(harness.wrong_credentials)


def can_damage_unfinished(harness: Harness) -> bool:
    return harness.damage_unfinished is not None


WIRED = needs(lambda harness: harness.wire)
"""The test makes requests go wrong on their way."""
