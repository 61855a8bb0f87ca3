"""Filters that choose which entries of a folder are uploaded: patterns as in rclone and gitignore.

A pattern is compared byte by byte, so case matters, with the path of an entry below the chosen folder.

    *        any characters but '/'          [a-z] [!a]   one character of a set, or one not in it; never '/'
    ?        one character but '/'           {jpg,png}    one of these
    **       any characters, '/' too         \\x           the character x itself

A leading '/' anchors a pattern at the top of the chosen folder; without it a pattern may begin at any folder. With a
final '/' it matches folders only. A match of a folder includes everything in it. `**/` also matches no folder at all.

What an exclude matches is left out, whatever the includes say. With includes, only what they match is taken.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from typing import Final

from backup.model.transfers import Selection
from providers.errors import InvalidConfiguration
from providers.remedies import Action, Remedy

_LONGEST: Final = 1024
_MOST: Final = 10_000
_MOST_ALTERNATIVES: Final = 100
_Refused = Callable[[str], InvalidConfiguration]
"""Makes the error of a pattern from what is wrong with it."""
_SETS: Final = re.compile(r"\[([!^]?)(\]?[^\]]*)\]", re.DOTALL)


class Filter:
    """The compiled patterns of a selection. A match takes time at most quadratic in the length of the path, whatever
    the patterns are."""

    def __init__(self, selection: Selection) -> None:
        """Raises InvalidConfiguration, naming the pattern that is invalid."""
        if len(selection.include) + len(selection.exclude) > _MOST:
            raise InvalidConfiguration(f"more than {_MOST:,} patterns", field="exclude", hint="Write fewer, with '**'.")
        self._exclude = _compiled("exclude", selection.exclude)
        self._include = _compiled("include", selection.include)

    @cached_property
    def takes_all(self) -> bool:
        return self._exclude is None and self._include is None

    def leaves_out(self, path: str, *, folder: bool) -> bool:
        """Whether an entry is left out, a folder with all that is in it. `path` is relative to what was chosen."""
        text = f"{path}/" if folder else path
        if self._exclude is not None and self._exclude.match(text):
            return True
        return not folder and not self._is_included(text)

    def leaves_out_empty(self, path: str) -> bool:
        """The same for an empty folder: includes apply to it too."""
        return self.leaves_out(path, folder=True) or not self._is_included(f"{path}/")

    def _is_included(self, text: str) -> bool:
        return self._include is None or self._include.match(text) is not None


def patterns_of(line: str) -> tuple[str, ...]:
    """The patterns of a typed line, separated by commas. A comma in {a,b} or [,], or after a backslash, belongs to its
    pattern; white space around a pattern does not."""
    found, begin, depth, at = list[str](), 0, 0, 0
    while at < len(line):
        character = line[at]
        if character == "[" and (one_set := _SETS.match(line, at)):
            at = one_set.end()
            continue
        depth += (character == "{") - (character == "}")
        if character == "," and depth <= 0:
            found.append(line[begin:at])
            begin = at + 1
        at += 2 if character == "\\" else 1
    return tuple(pattern for one in (*found, line[begin:]) if (pattern := one.strip()))


def _compiled(field: str, patterns: Iterable[str]) -> re.Pattern[str] | None:
    bodies = [body for pattern in patterns for body in _bodies(field, pattern)]
    return re.compile("|".join(f"(?>{body})" for body in bodies), re.DOTALL) if bodies else None


def _bodies(field: str, pattern: str) -> Iterator[str]:
    def refused(why: str) -> InvalidConfiguration:
        return InvalidConfiguration(
            f"{field}: the pattern '{pattern[:80]}' {why}",
            field=field,
            remedies=(Remedy(Action.READ_ABOUT_PATTERNS),),
        )

    if len(pattern) > _LONGEST:
        raise refused(f"is longer than {_LONGEST:,} characters")
    if not pattern.strip("/"):
        raise refused("names nothing")
    if "\0" in pattern:
        raise refused("has a NUL in it, which no name has")
    alternatives = list(_alternatives(pattern, refused))
    for one in alternatives:
        folders_only = one.endswith("/") and not one.endswith("\\/")
        inner = one[:-1] if folders_only else one
        anchored = inner.startswith("/")
        if not {"", ".", ".."}.isdisjoint(inner.removeprefix("/").split("/")):
            raise refused("has an empty part, '.' or '..', which no path has")
        body = _Glob(inner.removeprefix("/"), anchored, refused).regex
        yield body + (r"/.*\Z" if folders_only else r"(?:/.*)?\Z")


def _alternatives(pattern: str, refused: _Refused) -> Iterator[str]:
    """The pattern without `{a,b}`: one for each combination of choices."""
    pending, count = [pattern], 0
    while pending:
        one = pending.pop()
        group = _first_group(one, refused)
        if group is None:
            count += 1
            if count > _MOST_ALTERNATIVES:
                raise refused(f"expands to more than {_MOST_ALTERNATIVES} patterns")
            yield one
            continue
        begin, end, choices = group
        pending += [one[:begin] + choice + one[end:] for choice in reversed(choices)]
        if len(pending) > _MOST_ALTERNATIVES:
            raise refused(f"expands to more than {_MOST_ALTERNATIVES} patterns")


def _first_group(pattern: str, refused: _Refused) -> tuple[int, int, list[str]] | None:
    """Begin and end of the first innermost `{a,b}`, and its choices."""
    begin, commas, at = -1, list[int](), 0
    while at < len(pattern):
        character = pattern[at]
        if character == "\\":
            at += 2
            continue
        if character == "[" and (found := _SETS.match(pattern, at)):
            at = found.end()
            continue
        if character == "{":
            begin, commas = at, []
        elif character == "," and begin >= 0:
            commas.append(at)
        elif character == "}":
            if begin < 0:
                raise refused("has a '}' without its '{'")
            edges = [begin, *commas, at]
            choices = [pattern[left + 1 : right] for left, right in itertools.pairwise(edges)]
            return begin, at + 1, choices
        at += 1
    if begin >= 0:
        raise refused("has a '{' without its '}'")
    return None


class _Glob:
    """One pattern without alternatives, as a regular expression that never backtracks in vain: between two `*` only the
    first place where the text fits matters, and so between two `**`."""

    def __init__(self, pattern: str, anchored: bool, refused: _Refused) -> None:
        self._refused = refused
        self._stretches: list[tuple[str, list[str]]] = [("" if anchored else "**/", [""])]
        """Each begins with '', '**' or '**/', followed by pieces joined by '*'."""
        self._read(pattern)

    def _read(self, pattern: str) -> None:
        at = 0
        while at < len(pattern):
            character = pattern[at]
            if pattern.startswith("**", at):
                end = at + len(pattern[at:]) - len(pattern[at:].lstrip("*"))
                at_edge = at == 0 or pattern[at - 1] == "/"
                folders = at_edge and pattern.startswith("/", end)
                self._begin("**/" if folders else "**")
                at = end + folders
            elif character == "*":
                if self._pieces[-1] or len(self._pieces) == 1:
                    self._pieces.append("")
                at += 1
            else:
                at = self._one(pattern, at)

    @property
    def _pieces(self) -> list[str]:
        return self._stretches[-1][1]

    def _begin(self, kind: str) -> None:
        """Begin a stretch; adjacent wildcards merge into one."""
        before, pieces = self._stretches[-1]
        if before and pieces == [""]:
            kind = kind if before == "**/" and kind == "**/" else "**" if before == "**" or kind == "**" else kind
            self._stretches.pop()
        self._stretches.append((kind, [""]))

    def _one(self, pattern: str, at: int) -> int:
        """Read one character, or a set for one character; returns the next position."""
        character = pattern[at]
        if character == "\\":
            if at + 1 == len(pattern):
                raise self._refused("ends in a '\\' with nothing after it")
            self._pieces[-1] += re.escape(pattern[at + 1])
            return at + 2
        if character == "?":
            self._pieces[-1] += "[^/]"
            return at + 1
        if character == "[":
            found = _SETS.match(pattern, at)
            if found is None or not found[2]:
                raise self._refused("has a '[' without its ']'")
            self._pieces[-1] += self._set(found[1], found[2])
            return found.end()
        self._pieces[-1] += re.escape(character)
        return at + 1

    def _set(self, negated: str, inside: str) -> str:
        escaped = re.sub(r"[\\\[\]^&~|]", lambda found: "\\" + found[0], inside)
        try:
            re.compile(f"[{escaped}]")
        except re.error:
            raise self._refused(f"has an invalid set: [{inside}]") from None
        return f"(?!/)[{'^' if negated else ''}{escaped}]"

    @property
    def regex(self) -> str:
        last = len(self._stretches) - 1
        return "".join(
            self._stretch(kind, pieces, final=number == last) for number, (kind, pieces) in enumerate(self._stretches)
        )

    @staticmethod
    def _stretch(kind: str, pieces: list[str], *, final: bool) -> str:
        lead = {"": "", "**": ".*?", "**/": "(?:.*?/)??"}[kind]
        first, rest = pieces[0], pieces[1:]
        if not final and rest and not rest[-1]:
            rest = rest[:-1]  # a '*' before a '**' adds nothing
        if not final:
            body = first + "".join(f"(?>[^/]*?{piece})" for piece in rest)
            return f"(?>{lead}{body})" if kind else body
        body = first + "".join(f"(?>[^/]*?{piece})" for piece in rest[:-1])
        return lead + body + (f"[^/]*{rest[-1]}" if rest else "")
