"""QR codes as text: two modules per character, one above the other."""

from __future__ import annotations

_QUIET = 2
"""Light modules around it. The standard asks for four; phones read two, and a terminal has little space."""


def rows(text: str, *, dark_background: bool = True) -> tuple[str, ...]:
    """`text` as lines of equal width. The blocks are the light modules, to be drawn white on black in every theme;
    without `dark_background`, as on paper, the dark ones. Raises segno.DataOverflowError beyond 2,953 bytes."""
    import segno

    code = segno.make_qr(text, error="l", boost_error=False)
    inked = [[bool(module) != dark_background for module in row] for row in code.matrix_iter(border=_QUIET)]
    if len(inked) % 2:
        inked.append([dark_background] * len(inked[0]))
    signs = {(True, True): "█", (True, False): "▀", (False, True): "▄", (False, False): " "}
    pairs = zip(inked[::2], inked[1::2], strict=True)
    return tuple("".join(signs[cell] for cell in zip(*pair, strict=True)) for pair in pairs)
