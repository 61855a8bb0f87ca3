"""Loaded modules, checked in separate processes. The arrows between packages are contracts of import-linter."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SDKS = frozenset({"b2sdk", "boto3", "botocore", "obstore", "s3transfer"})
SCREEN = frozenset({"textual", "tui", "screens"})
KEYRING = frozenset({"keyring", "secretstorage", "jeepney"})


def loaded_by(statement: str) -> set[str]:
    """The top-level modules in a fresh process after `statement`."""
    script = f"import sys\n{statement}\nprint(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "statement",
    [
        "import backup",
        "import backup.core.core",
        "import backup.queries.answers",
        "import backup.queries",
        "import backup.cli.main",
        "import backup.instances.describing, backup.credentials, backup.system.logs",
        "import providers.base, providers.registry",
        "from providers import registry; registry.specs()",
        "import providers.testing",
        "import providers.testing.harness, providers.testing.support, providers.testing.transfers",
        "import providers.testing.guide_style, providers.testing.fault_proxy",
    ],
)
def test_the_core_loads_no_screen_no_sdk_and_no_keyring(statement: str):
    assert loaded_by(statement) & (SCREEN | SDKS | KEYRING) == set()


def test_the_contract_suite_is_described_and_served_without_pytest():
    described = "import providers.testing, providers.testing.harness, providers.testing.fault_proxy"
    assert "pytest" not in loaded_by(described)
    assert "pytest" in loaded_by("import providers.testing.plugin")


def test_the_console_process_loads_no_sdk():
    screens = sorted(path.stem for path in (ROOT / "screens").glob("*.py") if path.stem != "__init__")
    everything = ", ".join(["tui.app", *(f"screens.{name}" for name in screens)])
    loaded = loaded_by(f"import {everything}")
    assert "textual" in loaded
    assert loaded & SDKS == set()


def test_the_core_loads_no_sdk_when_it_is_used(tmp_path: Path):
    statement = (
        "from pathlib import Path; from backup.system.paths import Paths; from backup.core.core import Core\n"
        f"base = Path({str(tmp_path)!r})\n"
        "core = Core(Paths(base / 'c', base / 's', base / 'd'))\n"
        "assert core.instances.services() and core.instances.all() and core.queue.snapshot().item_count == 0"
    )
    assert loaded_by(statement) & (SCREEN | SDKS | KEYRING) == set()


def test_the_verb_list_loads_no_verb():
    loaded = loaded_by("import backup.cli.main as main; main.program.list_commands(None)")
    assert "rich" not in loaded
    assert "sqlite3" not in loaded


def test_each_service_has_its_folder_in_the_common_form():
    from providers.registry import EMBEDDED

    for name in EMBEDDED:
        folder = ROOT / "providers" / name
        there = {path.name for path in folder.iterdir()}
        assert {"__init__.py", "settings.py", "provider.py", "README.md"} <= there, name
        assert loaded_by(f"import providers.{name}.settings") & SDKS == set()


def test_a_child_never_imports_from_the_current_folder(tmp_path: Path):
    """`-m` without `-P` searches the current folder first, and a backup.py in a home folder is likely."""
    starts = re.compile(r"""executable[^\n]*?["']-m["']""")
    found = [line.strip() for path in (ROOT / "backup").rglob("*.py") for line in starts.findall(path.read_text())]
    assert found, "no child is started any more: drop this test"
    assert all('"-P"' in line for line in found), found
    (tmp_path / "backup.py").write_text("raise SystemExit('taken from the working folder')")
    done = subprocess.run(
        [sys.executable, "-P", "-m", "backup", "--version"],
        capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
