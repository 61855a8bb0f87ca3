"""Patterns: matches, invalid patterns, and bounded time."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backup.files.filters import Filter, patterns_of
from backup.files.scan import walk_local
from backup.model.transfers import ItemKind, Selection
from providers.errors import InvalidConfiguration


def left_out(pattern: str, path: str, *, folder: bool = False) -> bool:
    return Filter(Selection(exclude=(pattern,))).leaves_out(path, folder=folder)


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("*.tmp", "a.tmp"), ("*.tmp", "x/y/a.tmp"), ("/a", "a"), ("a", "x/a"), ("a", "a/b/c"), ("a/", "a/b"),
        ("x/a", "y/x/a"), ("**/a", "a"), ("**/a", "x/y/a"), ("a/**", "a/b/c"), ("a/**/b", "a/b"),
        ("a/**/b", "a/x/y/b"), ("a**b", "a/x/b"), ("?", "é"), ("[ab].c", "b.c"), ("[!ab].c", "z.c"),
        ("[^ab].c", "z.c"), ("{a,b}.c", "b.c"), ("{a,b}{1,2}", "b2"), ("{a,{b,c}}", "c"), (r"\*", "*"),
        ("/**.jpg", "x/a.jpg"), ("*a*b*c", "xaybzc"), ("**a*b", "a/ab"), ("[]x]", "]"), ("x\n*", "x\ny"),
        ("a/*/c", "a/b/c"), ("**/x/**/y", "a/x/b/c/y"), ("**/x/**/y", "x/y"), ("a[-z]", "a-"), ("***", "a/b"),
        ("\udcff*", "\udcffx"), (r"\{a,b\}", "{a,b}"), (" a", " a"),
    ],
)  # fmt: skip
def test_a_pattern_matches(pattern: str, path: str):
    assert left_out(pattern, path)


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("*.tmp", "a.tmpx"), ("*.TMP", "a.tmp"), ("/a", "x/a"), ("a", "xa"), ("a/", "a"), ("/x/a", "y/x/a"),
        ("a/**/b", "a/xb"), ("a*b", "a/b"), ("[!ab].c", "b.c"), (r"\*", "x"), ("*a*b*c", "xaybz"), ("a.c", "abc"),
        ("a/*/c", "a/b/d/c"), ("/*.log", "x/y.log"), ("/*/b", "b"), ("[!a]", "/"), ("a?b", "a/b"), ("é", "e\u0301"),
    ],
)  # fmt: skip
def test_a_pattern_does_not_match(pattern: str, path: str):
    assert not left_out(pattern, path)


def test_a_pattern_with_a_final_slash_matches_folders_only():
    assert left_out("a/", "x/a", folder=True)
    assert not left_out("a/", "x/a")
    assert left_out("a", "x/a", folder=True)


def test_includes_take_only_what_they_match_and_excludes_come_first():
    chosen = Filter(Selection(include=("*.jpg", "docs/"), exclude=("secret*",)))
    taken = ["a.jpg", "x/b.jpg", "docs/any", "x/docs/y/z"]
    assert [
        path for path in [*taken, "a.txt", "secret.jpg", "docs/secret"] if not chosen.leaves_out(path, folder=False)
    ] == taken
    assert not chosen.leaves_out("x", folder=True)  # its content may match
    assert chosen.leaves_out_empty("x")
    assert not chosen.leaves_out_empty("docs")


@pytest.mark.parametrize(
    "pattern",
    ["", "/", "//", "[a", "[]", "{a", "a}", "a\\", "[z-a]", "a\0b", "x" * 2000, "{a,b}" * 9, "{" + "a," * 200 + "}"],
)
def test_an_invalid_pattern_is_named(pattern: str):
    with pytest.raises(InvalidConfiguration, match="exclude: the pattern"):
        Filter(Selection(exclude=(pattern,)))


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("*a" * 30 + "b", "a" * 4000),
        ("**a" * 30 + "b", "a/" * 2000),
        ("**/a/" * 20 + "b", "a/" * 2000),
        ("a" + "*?" * 30 + "b", "a" * 4000),
        ("[ab]*" * 40 + "c", "ab" * 2000),
        ("*/" * 100 + "x", "a/" * 2000),
        ("*" * 500 + "x", "a" * 4000),
        ("**/" * 200 + "x", "a/" * 2000),
    ],
)
def test_every_pattern_matches_in_bounded_time(pattern: str, path: str):
    begun = time.process_time()
    assert not left_out(pattern, path)
    assert time.process_time() - begun < 1.0


def reference(pattern: str, path: str) -> bool:
    """The same result by trying everything, for patterns of letters, '*', '**' and '/'."""
    if not pattern:
        return not path or path.startswith("/")
    if pattern.startswith("**"):
        rest = pattern.lstrip("*")
        return any(reference(rest, path[at:]) for at in range(len(path) + 1))
    if pattern.startswith("*"):
        end = path.find("/") if "/" in path else len(path)
        return any(reference(pattern[1:], path[at:]) for at in range(end + 1))
    return path[:1] == pattern[0] and reference(pattern[1:], path[1:])


@given(
    st.text("ab*", min_size=1, max_size=8).filter(lambda text: text.strip("/")),
    st.lists(st.text("ab", min_size=1, max_size=3), min_size=1, max_size=3).map("/".join),
)
@settings(max_examples=400, deadline=None)
def test_patterns_match_what_trying_everything_finds(pattern: str, path: str):
    assert left_out("/" + pattern, path) == reference(pattern, path)


def names(folder: Path, **rules: object) -> tuple[list[str], list[str]]:
    """What is uploaded, and what the rules leave out."""
    found = [one for batch in walk_local([folder], selection=Selection(**rules)) for one in batch]  # type: ignore[arg-type]
    taken = sorted(one.name for one in found if not one.ruled_out)
    return taken, sorted(one.name for one in found if one.ruled_out)


def test_a_walk_skips_whole_folders_without_reading_them(tmp_path: Path):
    top = tmp_path / "top"
    for name in ("a.txt", "cache/x", "cache/deep/y", "sub/cache", "sub/b.txt"):
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_bytes(b"1")
    (top / "empty").mkdir()
    assert names(top, exclude=("cache/",)) == (
        ["top/a.txt", "top/empty", "top/sub/b.txt", "top/sub/cache"],
        ["top/cache"],
    )
    assert names(top, include=("*.txt",)) == (
        ["top/a.txt", "top/sub/b.txt"],
        ["top/cache/deep/y", "top/cache/x", "top/empty", "top/sub/cache"],
    )
    assert names(top, exclude=("top",))[1] == []  # rules do not apply to the chosen folder itself
    assert names(top, exclude=("/a.txt", "sub"))[1] == ["top/a.txt", "top/sub"]


def test_one_file_system_skips_other_disks():
    found = next(walk_local([Path("/proc/self/fd")], selection=Selection(one_file_system=True)))
    assert found
    mounts = [one for one in names_of_mounts() if one.count("/") == 2 and one.startswith("/dev/")]
    for batch in walk_local([Path("/dev")], selection=Selection(one_file_system=True)):
        for one in batch:
            if one.path in mounts:
                assert one.ruled_out
                assert one.kind is ItemKind.DIRECTORY
            assert not any(one.path.startswith(f"{mount}/") for mount in mounts)


def names_of_mounts() -> list[str]:
    return [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]


@pytest.mark.parametrize(
    ("line", "patterns"),
    [
        ("", ()),
        (" , ,", ()),
        ("*.tmp, cache/", ("*.tmp", "cache/")),
        ("my cache/,b", ("my cache/", "b")),
        ("*.{jpg,png}, [,;], a\\,b, {x,{y,z}}", ("*.{jpg,png}", "[,;]", "a\\,b", "{x,{y,z}}")),
        ("a},b", ("a}", "b")),
        ("{a,b", ("{a,b",)),
        ("a[,b", ("a[", "b")),
        ("a\\", ("a\\",)),
    ],
)
def test_typed_patterns_are_separated_by_commas(line: str, patterns: tuple[str, ...]) -> None:
    assert patterns_of(line) == patterns
    assert patterns_of(", ".join(patterns)) == patterns
