"""SQL parameters are unnamed with a sequence, or named with a mapping: Python 3.14 accepts no numbered ones."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_no_statement_has_numbered_parameters() -> None:
    numbered = re.compile(r"[=( ,]\?[0-9]")
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in sorted((ROOT / "backup").rglob("*.py"))
        for line in path.read_text().splitlines()
        if numbered.search(line)
    ]
    assert found == []
