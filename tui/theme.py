"""The palette. Each colour has one meaning: teal is active or focused, green is proved, amber waits or warns, red has
failed, blue is a folder or a download, muted is secondary. Each state also has a sign and a word."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from textual.theme import Theme


class Tone(StrEnum):
    """The role of a piece of text. Widgets map it to a theme colour."""

    PLAIN = "plain"
    STRONG = "strong"
    MUTED = "muted"
    GOING = "going"
    PROVED = "proved"
    WAITING = "waiting"
    FAILED = "failed"
    FOLDER = "folder"
    TRACK = "track"
    """The part of a progress bar that is not done."""


STYLES: Final[dict[Tone, str]] = {
    Tone.PLAIN: "$foreground",
    Tone.STRONG: "bold $foreground",
    Tone.MUTED: "$muted",
    Tone.GOING: "$primary",
    Tone.PROVED: "$success",
    Tone.WAITING: "$warning",
    Tone.FAILED: "$error",
    Tone.FOLDER: "$secondary",
    Tone.TRACK: "$track",
}
"""For `Content.assemble`."""

DARK: Final = Theme(
    name="homeserver-dark",
    dark=True,
    primary="#4fd1c5",
    secondary="#7aa2f7",
    accent="#f6ad55",
    warning="#f6c65e",
    success="#68d391",
    error="#fc8181",
    foreground="#dbe4ee",
    background="#0e141b",
    surface="#131b24",
    panel="#1b2632",
    variables={
        "muted": "#8a9bb0",
        "cursor-row": "#24405a",
        "cursor-quiet": "#1a2937",
        "track": "#3b4d61",
        "quiet-border": "#2c3b4b",
        "on-primary": "#0e141b",
        "border": "#4fd1c5",
        "border-blurred": "#2c3b4b",
        "footer-key-foreground": "#f6ad55",
        "scrollbar": "#2c3b4b",
        "scrollbar-hover": "#3b4d61",
        "scrollbar-active": "#4fd1c5",
        "scrollbar-background": "#0e141b",
        "scrollbar-background-hover": "#0e141b",
        "scrollbar-background-active": "#0e141b",
        "scrollbar-corner-color": "#0e141b",
        "input-selection-background": "#24405a",
        "block-cursor-background": "#24405a",
        "block-cursor-foreground": "#dbe4ee",
        "block-cursor-text-style": "none",
        "block-cursor-blurred-background": "#1a2937",
        "block-cursor-blurred-foreground": "#dbe4ee",
    },
)

LIGHT: Final = Theme(
    name="homeserver-light",
    dark=False,
    primary="#0b6e66",
    secondary="#2450b3",
    accent="#8a4b00",
    warning="#7a5200",
    success="#1f6b3a",
    error="#b3261e",
    foreground="#1a2430",
    background="#f7f9fb",
    surface="#eef2f6",
    panel="#e1e8ef",
    variables={
        "muted": "#53616f",
        "cursor-row": "#c3dcf2",
        "cursor-quiet": "#e0e9f1",
        "track": "#b7c3cf",
        "quiet-border": "#b7c3cf",
        "on-primary": "#ffffff",
        "border": "#0b6e66",
        "border-blurred": "#b7c3cf",
        "footer-key-foreground": "#8a4b00",
        "scrollbar": "#b7c3cf",
        "scrollbar-hover": "#93a3b3",
        "scrollbar-active": "#0b6e66",
        "scrollbar-background": "#f7f9fb",
        "scrollbar-background-hover": "#f7f9fb",
        "scrollbar-background-active": "#f7f9fb",
        "scrollbar-corner-color": "#f7f9fb",
        "input-selection-background": "#c3dcf2",
        "block-cursor-background": "#c3dcf2",
        "block-cursor-foreground": "#1a2430",
        "block-cursor-text-style": "none",
        "block-cursor-blurred-background": "#e0e9f1",
        "block-cursor-blurred-foreground": "#1a2430",
    },
)

THEMES: Final = (DARK, LIGHT)
