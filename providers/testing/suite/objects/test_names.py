"""Names are kept byte for byte or refused with a reason: never changed, never confused."""

from __future__ import annotations

import unicodedata

import pytest

from providers.errors import Conflict, InvalidName, ProviderError
from providers.testing.harness import Harness, Root
from providers.testing.support import content, source
from providers.testing.transfers import download, keys, upload

_E = "caf\u00e9"
NAMES = {
    "plain": "file.txt",
    "spaces": "two words/in a row.txt",
    "leading space": " file",
    "trailing space": "file ",
    "nfc": unicodedata.normalize("NFC", _E),
    "nfd": unicodedata.normalize("NFD", _E),
    "emoji": "\U0001f4be/\u6587\u4ef6.txt",
    "percent": "100%",
    "escaped": "a%2Fb%20c+d",
    "signs": "a&b=c?d#e;f,g!h'i(j)k*l@m$n~o`p^q{r}s[t]u|v",
    "quotes": '"<>:|?*',
    "backslash": "a\\b\\..\\c",
    "newline": "line\nbreak\ttab\rreturn",
    "escape": "\x1b[31mred\x07",
    "del": "a\x7fb",
    "trailing dot": "file.",
    "dots": "...",
    "hidden": ".hidden",
    "dash": "-rf",
    "colon": "C:file",
    "device": "CON",
    "long segment ok": "n" * 200,
    "long segment": "n" * 300,
    "deep": "/".join("abcdefghij" * 2 for _ in range(20)),
    "too long": "/".join("y" * 100 for _ in range(60)),
    "bidi": "a\u202egnp.txt",
    "empty": "",
    "absolute": "/etc/passwd",
    "parent": "../escape",
    "inner parent": "a/../../escape",
    "dot": "a/./b",
    "empty segment": "a//b",
    "nul": "a\x00b",
}


@pytest.mark.few(4)
@pytest.mark.parametrize("name", NAMES.keys())
def test_a_name_is_kept_or_refused(harness: Harness, root: Root, name: str) -> None:
    key, data = NAMES[name], content(100)
    provider = root.connect()
    path = source(root.tmp, data)
    if name in harness.limits.broken_names:
        with pytest.raises(harness.limits.broken_names[name]):
            upload(provider, path, key)
        return
    if name in harness.limits.refused_names:
        with pytest.raises(InvalidName) as refused:
            upload(provider, path, key)
        assert key[:150] in refused.value.message  # raw: names are escaped only where they are shown
        assert root.stored() == {}
        assert root.leftovers() == []
        return
    upload(provider, path, key)
    assert root.stored() == {key: data}
    assert keys(provider) == {key}
    assert provider.stat(key).key == key
    assert {file.key for file in provider.walk(key)} == {key}
    download(provider, key, root.tmp / "target")
    assert (root.tmp / "target").read_bytes() == data
    provider.delete(key)
    assert root.stored() == {}


@pytest.mark.parametrize("name", ["nfd", "signs", "newline", "percent", "bidi"])
def test_odd_names_work_in_parts_too(harness: Harness, root: Root, name: str) -> None:
    key, data = NAMES[name], content(harness.limits.part_bytes + 1)
    provider = root.connect()
    path = source(root.tmp, data)
    if name in harness.limits.broken_names:
        with pytest.raises(harness.limits.broken_names[name]):
            upload(provider, path, key)
        return
    if name in harness.limits.refused_names:
        with pytest.raises(InvalidName):
            upload(provider, path, key)
        assert root.leftovers() == []
        return
    upload(provider, path, key)
    assert root.stored() == {key: data}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (NAMES["nfc"], NAMES["nfd"]),
        ("Case.txt", "case.TXT"),
        ("a b", "a+b"),
        ("a%20b", "a b"),
        ("a/b", "a%2Fb"),
        ("x", "x."),
        ("x ", "x"),
    ],
)
def test_two_names_that_look_alike_are_two_objects(harness: Harness, root: Root, one: str, other: str) -> None:
    """Or the second is refused before any byte is sent; it never replaces the first."""
    provider = root.connect()
    upload(provider, source(root.tmp, b"one", "1"), one)
    refusal = _refusal(harness, one, other)
    if refusal:
        with pytest.raises(refusal):
            upload(root.connect(), source(root.tmp, b"other", "2"), other)
        with pytest.raises(refusal):
            upload(provider, source(root.tmp, b"other", "2"), other, replaces=False)
        assert root.stored() == {one: b"one"}
        return
    upload(provider, source(root.tmp, b"other", "2"), other)
    assert root.stored() == {one: b"one", other: b"other"}
    provider.delete(one)
    assert root.stored() == {other: b"other"}


def _refusal(harness: Harness, one: str, other: str) -> type[ProviderError] | None:
    refused = {NAMES[name] for name in harness.limits.refused_names}
    if other in refused:
        return InvalidName
    same = one.casefold() == other.casefold()
    return Conflict if same and not harness.capabilities.case_sensitive else None


def test_a_name_longer_than_declared_is_refused_before_anything_is_sent(root: Root) -> None:
    provider = root.connect()
    limit = provider.capabilities.max_key_bytes
    key = "/".join(["k" * 200] * (limit // 100))
    with pytest.raises(InvalidName):
        upload(provider, source(root.tmp, b"x"), key)
    assert root.stored() == {}
