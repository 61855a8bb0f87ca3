"""The tables in README.md match those printed by the commands."""

from __future__ import annotations

from backup.cli import tables
from providers import registry
from tests.cli.conftest import ROOT, Cli


def test_the_capabilities_table_is_true(cli: Cli):
    shown = cli("get-config", "--capabilities-table")
    assert shown.code == 0, shown.err
    assert shown.out.splitlines() == tables.capabilities()
    assert shown.out in (ROOT / "README.md").read_text()


def test_every_service_is_in_the_readme():
    text = (ROOT / "README.md").read_text()
    for name in registry.EMBEDDED:
        assert f"| `{name}` | [providers/{name}](providers/{name}/README.md) |" in text
