"""Text for the screen is safe, and exactly as wide as asked."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui.text import cell_len, chopped, cut_end, cut_middle, done_of, fit, safe, when, whole_facts
from tui.theme import DARK, LIGHT

ANY = st.text(st.characters(), max_size=60)  # surrogates too


@given(ANY)
def test_no_control_character_reaches_the_terminal(text: str) -> None:
    shown = safe(text)
    bad = {"Cc", "Cs", "Zl", "Zp"}
    assert not any(unicodedata.category(character) in bad for character in shown)
    assert not any("\u202a" <= character <= "\u202e" or "\u2066" <= character <= "\u2069" for character in shown)
    assert not set(shown) & set("\u200b\u200c\u200e\u200f\u061c\ufeff\u2060\xad")
    shown.encode("utf-8")


@given(ANY)
def test_safe_text_is_left_alone_the_second_time(text: str) -> None:
    assert safe(safe(text)) == safe(text)


def test_a_joiner_stays_between_emoji_only() -> None:
    family = "\U0001f469\u200d\U0001f467"
    assert safe(family) == family
    assert safe("a\u200db") == "a\\u200db"


@given(ANY.map(safe), st.integers(0, 50))
def test_cut_text_is_never_wider_than_asked(text: str, width: int) -> None:
    assert cell_len(cut_end(text, width)) <= width
    assert cell_len(cut_middle(text, width)) <= width
    assert cell_len(fit(text, width)) == width
    assert cell_len(fit(text, width, right=True)) == width


def test_the_end_of_a_name_stays() -> None:
    assert cut_middle("gogs-repositories-2026-11-22.tar", 20) == "gogs-repos…11-22.tar"
    assert cut_middle("short.tar", 20) == "short.tar"
    assert cut_middle("写真写真写真写真.jpg", 12) == "写真写….jpg"


def test_progress_is_shown_in_the_unit_of_the_total() -> None:
    assert done_of(0, 0) == "0 / 0 B"
    assert done_of(611 * 2**20, 2 * 2**30) == "0.60 / 2.00 GiB"
    assert done_of(41 * 2**20, 100 * 2**20) == "41.0 / 100 MiB"


@pytest.mark.parametrize("moment", [float("inf"), float("nan"), 1e30, -1e30])
def test_a_time_outside_the_calendar_does_not_crash(moment: float) -> None:
    assert when(moment, 1.7e9) == "?"


def contrast(one: str, other: str) -> float:
    """WCAG 2.2."""

    def luminance(colour: str) -> float:
        channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", [DARK, LIGHT], ids=["dark", "light"])
def test_every_text_colour_is_readable_on_every_background(theme: object) -> None:
    values = vars(theme)
    roles = ("primary", "secondary", "warning", "error", "success", "accent", "foreground")
    for ground in (values["background"], values["surface"], values["panel"], values["variables"]["cursor-row"]):
        for role in roles:
            assert contrast(values[role], ground) >= 3.9, (role, ground)
        if ground != values["variables"]["cursor-row"]:  # under the cursor muted text is lifted
            assert contrast(values["variables"]["muted"], ground) >= 4.5


def test_whole_facts_are_left_out_and_long_texts_wrap() -> None:
    assert whole_facts("sha-256 9f…e1 agrees · 4.0 s", 24) == "sha-256 9f…e1 agrees"
    assert whole_facts("much too long · short", 5) == "much too long"
    assert chopped("a" * 25, 10) == ["a" * 10, "a" * 10, "a" * 5]
    assert chopped("attempt 3 · 12.0 MiB kept", 14) == ["attempt 3 ·", "12.0 MiB kept"]
    assert [cell_len(line) for line in chopped("日本語" * 4, 7)] == [6, 6, 6, 6]
