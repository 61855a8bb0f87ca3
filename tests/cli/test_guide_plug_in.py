"""A plug-in in the style of the guide, on the command line and in the worker, in separate processes."""

from __future__ import annotations

import os
from pathlib import Path

from backup.cli.diagnostics import ExitCode
from backup.system.paths import Paths
from tests.cli.conftest import Cli
from tests.processes import stop_worker


def test_command_line_and_queue(program: Cli, cli: Cli, paths: Paths, acme: Path, tmp_path: Path):
    source = tmp_path / "file.bin"
    source.write_bytes(os.urandom(100_000))
    assert "acme" in cli("list-providers").out
    assert cli("set-config", "acme", "container", str(acme)).code == 0
    described = cli("get-config", "acme", "--describe").out
    assert "container" in described
    assert "max_bandwidth" not in described
    refused = cli("set-config", "acme", "max_bandwidth", "1MB")
    assert (refused.code, "has no effect" in refused.err) == (ExitCode.CONFIGURATION, True)
    try:
        results = [program("enable-provider", "acme"), program("test-cycle", "--provider", "acme", "--size", "1MB")]
        results.append(program("upload", str(source), "--to", "x", "--provider", "acme"))
        results.append(program("list", "--json", "--provider", "acme"))
        results.append(program("download", "x/file.bin", "--to", str(tmp_path / "back"), "--provider", "acme"))
        assert [(each.code, each.err) for each in results if each.code] == []
        assert (acme / "x" / "file.bin").read_bytes() == source.read_bytes()
        assert "x/file.bin" in results[3].out or '"x/"' in results[3].out
        queued = program("transfers", "list", "--json")
        assert "x/file.bin" in queued.out
        assert "acme" in queued.out
        refused = program("upload", str(source), "--to", "refused", "--provider", "acme")
        assert refused.code != 0
        assert "failed without a reason" in refused.err + refused.out
    finally:
        if paths.journal_file.exists():
            assert stop_worker(paths)
