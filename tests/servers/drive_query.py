"""Google Drive's query language, as far as clients use it: `name = 'x' and ('id' in parents or ...) and not ...`.

Source: Drive API, "Search query terms and operators".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

Item = Mapping[str, Any]
Test = Callable[[Item], bool]
_TOKEN = re.compile(r"\s*(?:'((?:[^'\\]|\\.)*)'|([()])|(!=|<=|>=|=|<|>)|([A-Za-z]+))", re.DOTALL)


class BadQuery(Exception):
    """Answered with status 400."""


def parse(text: str, aliases: Mapping[str, str]) -> Test:
    """The predicate for a query. `aliases` maps other words to ids ('root')."""
    if not text.strip():
        return lambda item: True
    return _Parser(text, aliases).whole()


class _Parser:
    def __init__(self, text: str, aliases: Mapping[str, str]) -> None:
        self._tokens = list(_tokens(text))
        self._at = 0
        self._aliases = aliases

    def whole(self) -> Test:
        test = self._either()
        if self._at != len(self._tokens):
            raise BadQuery(str(self._tokens[self._at :]))
        return test

    def _peek(self) -> tuple[str, str]:
        return self._tokens[self._at] if self._at < len(self._tokens) else ("end", "")

    def _next(self, kind: str = "", text: str = "") -> str:
        found = self._peek()
        if (kind and found[0] != kind) or (text and found[1] != text):
            raise BadQuery(f"{found} where {kind} {text} is due")
        self._at += 1
        return found[1]

    def _either(self) -> Test:
        tests = [self._both()]
        while self._peek() == ("word", "or"):
            self._next()
            tests.append(self._both())
        return tests[0] if len(tests) == 1 else lambda item: any(test(item) for test in tests)

    def _both(self) -> Test:
        tests = [self._one()]
        while self._peek() == ("word", "and"):
            self._next()
            tests.append(self._one())
        return tests[0] if len(tests) == 1 else lambda item: all(test(item) for test in tests)

    def _one(self) -> Test:
        kind, text = self._peek()
        if (kind, text) == ("word", "not"):
            self._next()
            inner = self._one()
            return lambda item: not inner(item)
        if (kind, text) == ("sign", "("):
            self._next()
            inside = self._either()
            self._next("sign", ")")
            return inside
        if kind == "string":
            return self._parents()
        return self._comparison()

    def _parents(self) -> Test:
        wanted = self._next("string")
        wanted = self._aliases.get(wanted, wanted)
        self._next("word", "in")
        self._next("word", "parents")
        return lambda item: wanted in item["parents"]

    def _comparison(self) -> Test:
        field = self._next("word")
        operator = self._next()
        value = self._next()
        match field, operator:
            case "trashed" | "starred" | "sharedWithMe", "=" | "!=":
                wanted = (value == "true") == (operator == "=")
                return lambda item: bool(item.get(field, False)) is wanted
            case "name", "=" | "!=":  # Drive ignores case here
                return lambda item: (item["name"].casefold() == value.casefold()) is (operator == "=")
            case "name", "contains":
                return lambda item: item["name"].casefold().startswith(value.casefold())
            case "mimeType", "=" | "!=":
                return lambda item: (item["mimeType"] == value) is (operator == "=")
            case "mimeType", "contains":
                return lambda item: item["mimeType"].startswith(value)
            case "modifiedTime", "<" | "<=" | ">" | ">=" | "=":
                order: dict[str, Callable[[str, str], bool]] = {
                    "<": lambda one, other: one < other,
                    "<=": lambda one, other: one <= other,
                    ">": lambda one, other: one > other,
                    ">=": lambda one, other: one >= other,
                    "=": lambda one, other: one == other,
                }
                return lambda item: order[operator](item["modifiedTime"], value)
        raise BadQuery(f"{field} {operator}")


def _tokens(text: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    at = 0
    end = len(text.rstrip())
    while at < end:
        match = _TOKEN.match(text, at)
        if not match:
            raise BadQuery(text[at : at + 20])
        string, sign, operator, word = match.groups()
        if string is not None:
            found.append(("string", re.sub(r"\\(.)", r"\1", string, flags=re.DOTALL)))
        else:
            found.append(("sign", sign) if sign else ("operator", operator) if operator else ("word", word))
        at = match.end()
    return found
