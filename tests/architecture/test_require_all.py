"""REQUIRE_ALL=1, under which CI runs: what is skipped has failed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

SKIPPING = {
    "test_in_a_test.py": "import pytest\ndef test_it():\n    pytest.skip('no server here')\n",
    "test_by_a_mark.py": "import pytest\n@pytest.mark.skip(reason='no server here')\ndef test_it(): ...\n",
    "test_a_whole_module.py": "import pytest\npytest.skip('no server here', allow_module_level=True)\n",
}


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    for name, text in SKIPPING.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def run(folder: Path, require_all: str) -> subprocess.CompletedProcess[str]:
    options = ("-p", "tests.conftest", "-p", "no:cacheprovider", f"--rootdir={ROOT}", "--continue-on-collection-errors")
    environment = {**os.environ, "REQUIRE_ALL": require_all}
    return subprocess.run(
        [sys.executable, "-m", "pytest", *options, folder],
        capture_output=True, text=True, timeout=60, check=False, cwd=ROOT, env=environment,
    )  # fmt: skip


def test_a_skip_fails_where_everything_is_required(samples: Path):
    done = run(samples, "1")
    assert done.returncode != 0
    assert "1 failed, 2 errors in" in done.stdout
    assert done.stdout.count("skipped, but REQUIRE_ALL=1") >= len(SKIPPING)
    assert "no server here" in done.stdout


def test_elsewhere_a_skip_is_a_skip(samples: Path):
    done = run(samples, "")
    assert done.returncode == 0
    assert "3 skipped in" in done.stdout
