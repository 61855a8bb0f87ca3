"""Field masks of answers: `fields=nextPageToken,files(id,name)`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any


def masked(answer: Mapping[str, Any], fields: str) -> dict[str, Any]:
    """Only the requested fields, for example 'nextPageToken,files(id,name)'."""
    wanted = _mask(fields)
    return dict(answer) if "*" in wanted else _pick(answer, wanted)


def _pick(answer: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, inner in wanted.items():
        if name not in answer:
            continue
        value = answer[name]
        if not inner or "*" in inner:
            found[name] = value
        elif isinstance(value, list):
            found[name] = [_pick(item, inner) for item in value]
        else:
            found[name] = _pick(value, inner)
    return found


def _mask(fields: str) -> dict[str, Any]:
    root: dict[str, Any] = {}
    stack = [root]
    last: dict[str, Any] = root
    for token in re.findall(r"[(),]|[^(),\s]+", fields):
        if token == "(":
            stack.append(last)
        elif token == ")":
            stack.pop()
        elif token != ",":
            last = stack[-1].setdefault(token, {})
    return root
