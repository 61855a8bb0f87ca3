"""REQUIRE_ALL=1, under which CI runs: what is skipped has failed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

SKIPPING = {
    "in a test": "import pytest\ndef test_it():\n    pytest.skip('no server here')\n",
    "by a mark": "import pytest\n@pytest.mark.skip(reason='no server here')\ndef test_it(): ...\n",
    "a whole module": "import pytest\npytest.skip('no server here', allow_module_level=True)\n",
}


def run(file: Path, require_all: str) -> subprocess.CompletedProcess[str]:
    options = ("-p", "tests.conftest", "-p", "no:cacheprovider", f"--rootdir={ROOT}")
    environment = {**os.environ, "REQUIRE_ALL": require_all}
    return subprocess.run(
        [sys.executable, "-m", "pytest", *options, file],
        capture_output=True, text=True, timeout=60, check=False, cwd=ROOT, env=environment,
    )  # fmt: skip


@pytest.mark.parametrize("how", SKIPPING)
def test_a_skip_fails_where_everything_is_required(how: str, tmp_path: Path):
    file = tmp_path / "test_sample.py"
    file.write_text(SKIPPING[how])
    done = run(file, "1")
    assert done.returncode != 0
    assert "no server here" in done.stdout


def test_elsewhere_a_skip_is_a_skip(tmp_path: Path):
    file = tmp_path / "test_sample.py"
    file.write_text(SKIPPING["in a test"])
    done = run(file, "")
    assert done.returncode == 0
    assert "1 skipped" in done.stdout
