"""A QR code in characters: two modules a character, one above the other."""

from __future__ import annotations

_QUIET = 2
"""Light modules around it. The standard asks for four; phones read two, and a terminal has little room."""


def rows(text: str) -> tuple[str, ...]:
    """`text` as lines of equal width, light modules as blocks: to be drawn white on black, whatever the theme is."""
    import segno

    code = segno.make_qr(text, error="l", boost_error=False)
    matrix = [list(row) for row in code.matrix_iter(border=_QUIET)]
    if len(matrix) % 2:
        matrix.append([0] * len(matrix[0]))
    signs = {(False, False): "█", (False, True): "▀", (True, False): "▄", (True, True): " "}
    return tuple(
        "".join(signs[bool(upper), bool(lower)] for upper, lower in zip(*pair, strict=True))
        for pair in zip(matrix[::2], matrix[1::2], strict=True)
    )
