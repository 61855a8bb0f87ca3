"""Run each coroutine test in a loop of its own."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import pytest
from textual.css.model import RuleSet
from textual.css.stylesheet import Stylesheet

_parse_rules = Stylesheet._parse_rules
_parsed: dict[Any, list[RuleSet]] = {}


def _parsed_once(sheet: Stylesheet, css: str, *rest: Any, **more: Any) -> list[RuleSet]:
    """Parse each style sheet once: every test starts a console of its own with the same ones."""
    key = (css, rest, tuple(sorted(more.items())), tuple(sorted(sheet._variables.items())))
    if key not in _parsed:
        _parsed[key] = _parse_rules(sheet, css, *rest, **more)
    return _parsed[key]


Stylesheet._parse_rules = _parsed_once  # type: ignore[method-assign, assignment]


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    asyncio.run(pyfuncitem.obj(**arguments))
    return True
