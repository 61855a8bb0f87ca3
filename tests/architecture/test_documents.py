"""Documents: lines are not too long, and files named in them exist."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("*.md", "docs/*.md", "backup/**/*.md", "providers/**/*.md", "tests/**/*.md")
DOCUMENTS = sorted({str(path.relative_to(ROOT)) for part in PARTS for path in ROOT.glob(part)})
COLUMNS = 100
NAMED = re.compile(r"`((?:backup|providers|screens|tui|tests|docs)/[\w./-]+)`")
LINKED = re.compile(r"\]\((?!\w+://|#)([^)#]+)")


def long_lines(text: str) -> Iterator[str]:
    """Lines that are too long, except tables, code and unbreakable text (a link, an address)."""
    fenced = False
    for line in text.splitlines():
        fenced ^= line.lstrip().startswith("```")
        breakable = re.sub(r"\[[^]]*\]\([^)]*\)", "", line)
        if len(breakable) > COLUMNS and not fenced and not line.startswith("|") and " " in breakable.strip():
            yield line


def test_there_are_documents() -> None:
    assert {"README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/architecture.md"} <= set(DOCUMENTS)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_lines_wrap(name: str) -> None:
    assert list(long_lines((ROOT / name).read_text())) == []


def test_tables_code_and_links_may_be_long() -> None:
    word, table, code = "word " * 25, f"| {'cell ' * 30} |", f"```\n{'code ' * 30}\n```"
    assert list(long_lines(f"{word}\n{table}\n{code}\n[text](https://{'a' * 120})\nshort")) == [word]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_files_that_are_named_exist(name: str) -> None:
    text = (ROOT / name).read_text()
    missing = [path for path in NAMED.findall(text) if not (ROOT / path).exists()]
    prose = re.sub(r"```.*?```|`[^`]*`", "", text, flags=re.DOTALL)
    missing += [path for path in LINKED.findall(prose) if not (ROOT / name).parent.joinpath(path).exists()]
    assert missing == []
