"""The contract suite for authors of plug-ins: the wheel, their own files, and no checkout.

It starts pytest in a separate process, which other tests avoid, because it tests that this command works elsewhere.
"""

from __future__ import annotations

import os
import subprocess
import textwrap
from pathlib import Path

import pytest

import providers.testing
from providers.testing import plugin

PROVIDER = Path(__file__).with_name("acme_memory.py")
HARNESS = "    # acme_harness.py\n"
STORES = "self._container.objects[key] = Stored("


@pytest.fixture
def author(tmp_path: Path) -> Path:
    """A folder with an installed plug-in, and with the harness that the documentation shows."""
    info = tmp_path / "acme_memory-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-memory\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[homeserver_backup.providers]\nacme = acme_memory:AcmeProvider\n")
    (tmp_path / "acme_memory.py").write_text(PROVIDER.read_text())
    assert providers.testing.__doc__ is not None
    shown = providers.testing.__doc__.partition(HARNESS)[2].partition("\nThis command")[0]
    (tmp_path / "acme_harness.py").write_text(textwrap.dedent(shown))
    return tmp_path


def run_suite(installed: Path, author: Path, suite: str) -> subprocess.CompletedProcess[str]:
    """Run the documented command in the author's folder."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "PYTHON"))}
    return subprocess.run(
        [
            *(installed / "bin" / "python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "--strict-markers"),
            *("-p", "providers.testing.plugin", "--pyargs", suite),
        ],
        env={**environment, "CONTRACT_HARNESS": "acme_harness:HARNESS"},
        cwd=author,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


@pytest.mark.parametrize(
    "suite",
    ["providers.testing.suite.objects", pytest.param("providers.testing.suite", marks=pytest.mark.full)],
)
def test_a_plug_in_passes_the_suite_and_a_broken_one_fails(installed: Path, author: Path, suite: str) -> None:
    passed = run_suite(installed, author, suite)
    assert passed.returncode == 0, passed.stdout + passed.stderr
    last = passed.stdout.splitlines()[-1]
    assert " passed" in last
    assert "deselected" in last, "tests that need a network"
    assert "skipped" not in last

    plug_in = author / "acme_memory.py"
    assert plug_in.read_text().count(STORES) == 1
    plug_in.write_text(plug_in.read_text().replace(STORES, "self._container.objects[key.lower()] = Stored("))
    failed = run_suite(installed, author, "providers.testing.suite.objects.test_names")
    assert failed.returncode == 1, failed.stdout + failed.stderr
    assert "test_two_names_that_look_alike_are_two_objects[acme-Case.txt-case.TXT]" in failed.stdout


def test_the_plug_in_of_pytest_asks_for_a_harness(pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CONTRACT_HARNESS", raising=False)
    with pytest.raises(pytest.UsageError, match="CONTRACT_HARNESS"):
        plugin.pytest_configure(pytestconfig)
