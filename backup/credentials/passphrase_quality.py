"""A rough estimate of how hard a passphrase is to guess, shown while it is typed. Pure, and fast enough for every key.

It assumes an attacker who knows how people choose: common passwords, words, years, rows of keys, repetitions. It tends
to be too low rather than too high. It cannot know whether words are random or a line of a song.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Strength(StrEnum):
    EMPTY = "empty"
    VERY_WEAK = "very weak"
    WEAK = "weak"
    FAIR = "fair"
    GOOD = "good"
    STRONG = "strong"


BAR_STEPS: Final = 5
_FROM_BITS: Final = (
    (72.0, Strength.STRONG, 5),
    (56.0, Strength.GOOD, 4),
    (42.0, Strength.FAIR, 3),
    (28.0, Strength.WEAK, 2),
    (0.0, Strength.VERY_WEAK, 1),
)
GUESSES_PER_S: Final = 10_000.0
"""Guesses of an attacker with many machines against argon2id over 256 MiB (about two per second and core)."""


@dataclass(frozen=True)
class Quality:
    """`bits`: each doubles the guesses. `filled`: steps of a bar of BAR_STEPS. `advice`: empty from GOOD on."""

    bits: float
    strength: Strength
    filled: int
    advice: str

    @property
    def guessed_after_s(self) -> float:
        """Average time to guess it, at GUESSES_PER_S."""
        return float(2 ** min(self.bits, 1000.0) / 2 / GUESSES_PER_S)


_COMMON_TEXT: Final = """
    password passwort passwd passphrase secret geheim admin administrator root login welcome willkommen hello hallo
    letmein monkey dragon master shadow sunshine princess football baseball superman batman iloveyou trustno love abc
    qwerty qwertz azerty asdf asdfgh zxcvbn michael jennifer jordan charlie thomas daniel andreas server homeserver home
    backup backups linux ubuntu debian raspberry docker test testing guest user default changeme correct horse battery
    staple summer winter spring autumn sommer winter january monday freedom whatever starwars pokemon computer internet
    cheese cookie hunter ginger killer soccer hockey flower mustang access ninja google apple samsung vault keyring
"""
_COMMON: Final = frozenset(_COMMON_TEXT.split())
_ROWS: Final = (
    "abcdefghijklmnopqrstuvwxyz",
    "01234567890",
    "qwertyuiop",
    "qwertzuiop",
    "asdfghjkl",
    "zxcvbnm",
    "yxcvbnm",
)
_LEET: Final = str.maketrans("@4301!$57", "aaeoiisst")
_PIECES: Final = re.compile(r"[^\W\d_]+|\d+|\s+|[\W_]", re.UNICODE)
_MIXED: Final = re.compile(r"[^\W_]+|\s+|[\W_]", re.UNICODE)
_YEAR: Final = re.compile(r"(?:19|20)\d\d")
_REPEATED: Final = re.compile(r"(.+?)\1+", re.DOTALL)
_LONG_CONSONANTS: Final = re.compile(r"[bcdfghjklmnpqrstvwxz]{5}")
_COMMON_BITS: Final = 8.0
_WORD_BITS: Final = 11.0
_DISGUISE_BITS: Final = 4.0


def assess(text: str) -> Quality:
    """The estimate for `text`, which is kept nowhere."""
    bits = _bits(text)
    if not text:
        return Quality(0.0, Strength.EMPTY, 0, "Four or more random words are easy to type and hard to guess.")
    strength, filled = next((word, step) for least, word, step in _FROM_BITS if bits >= least)
    return Quality(bits, strength, filled, _advice(text, strength))


def _advice(text: str, strength: Strength) -> str:
    if strength in (Strength.GOOD, Strength.STRONG):
        return ""
    if _common(text):
        return "This is among the first guesses."
    if strength is Strength.FAIR:
        return "One more random word makes it good."
    return "Add unrelated words; a digit or symbol at the end helps little."


def _bits(text: str) -> float:
    whole = _REPEATED.fullmatch(text)
    if whole:
        return _bits(whole[1]) + math.log2(len(text) / len(whole[1]))
    seen: set[str] = set()
    total = 0.0
    for piece in _pieces(text):
        known = piece.lower() in seen and len(piece) > 2
        seen.add(piece.lower())
        total += 1.0 if known else _piece_bits(piece)
    return total


def _pieces(text: str) -> list[str]:
    """Split letters from digits, but keep a disguised word (P4ssw0rd) whole."""
    return [
        piece
        for chunk in _MIXED.findall(text)
        for piece in ([chunk] if _common(chunk) or _disguised(chunk) else _PIECES.findall(chunk))
    ]


def _common(chunk: str) -> bool:
    plain = chunk.lower()
    bare = plain.rstrip("0123456789!")
    return not _COMMON.isdisjoint({plain, bare, plain.translate(_LEET), bare.translate(_LEET)})


def _disguised(chunk: str) -> bool:
    plain = chunk.lower().translate(_LEET)
    return plain.isalpha() and not chunk.isalpha() and not chunk.isdigit() and _wordlike(plain)


def _piece_bits(piece: str) -> float:
    if _common(piece):
        return _COMMON_BITS + (0.0 if piece.islower() else 1.0)
    if piece.isspace():
        return 0.5
    repeated = _REPEATED.fullmatch(piece)
    if repeated and len(piece) > 2:
        return _piece_bits(repeated[1]) + math.log2(len(piece))
    if _in_a_row(piece):
        return 4.0 + math.log2(len(piece))
    if piece.isdigit():
        return 7.0 if _YEAR.fullmatch(piece) else math.log2(10) * len(piece)
    if piece.isalpha():
        return _letters_bits(piece)
    if _disguised(piece):
        return _letters_bits(piece.lower().translate(_LEET)) + _DISGUISE_BITS
    return 5.0 * len(piece)


def _letters_bits(letters: str) -> float:
    one_case = letters.islower() or letters.isupper() or letters[1:].islower()
    if_random = (math.log2(26) if one_case else math.log2(52)) * len(letters)
    if not (one_case and _wordlike(letters.lower())):
        return if_random
    capital = 0.0 if letters.islower() else 1.0
    return min(if_random, _WORD_BITS + 2.0 * max(0, len(letters) - 8)) + capital


def _wordlike(plain: str) -> bool:
    return bool(re.search("[aeiouyäöüéèàáíóú]", plain)) and not _LONG_CONSONANTS.search(plain)


def _in_a_row(piece: str) -> bool:
    plain = piece.lower()
    return len(plain) > 2 and any(plain in row or plain in row[::-1] for row in _ROWS)
