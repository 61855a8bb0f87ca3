"""`set-credentials` on a terminal without a credential store: it offers to create the vault."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from backup.credentials.vault_file.unlocked import vault_path
from backup.system.paths import Paths
from tests.cli.conftest import ROOT
from tests.terminal.terminal import Terminal

PASSPHRASE = "four words by chance"


@pytest.fixture
def terminal(paths: Paths, tmp_path: Path) -> Terminal:
    return Terminal.console(
        "set-credentials", "aws_s3", "--username", "AK",
        environment={**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(tmp_path / "home")}, columns=100,
    )  # fmt: skip


def test_the_vault_is_offered_created_and_used(terminal: Terminal, paths: Paths) -> None:
    with terminal:
        terminal.wait_for("no credential store yet", "vault")
        assert not vault_path(paths).exists()
        terminal.press("y", "enter")
        terminal.wait_for("Passphrase of the new vault")
        terminal.press(PASSPHRASE, "enter")
        terminal.wait_for("Type it again")
        terminal.press(PASSPHRASE, "enter")
        terminal.wait_for("Secret of AK")
        terminal.press("canary-secret", "enter")
        terminal.wait_for("credentials of aws_s3 are kept in")
        assert terminal.wait_exit() == 0
        assert b"canary-secret" not in terminal.output
    assert b"canary" not in vault_path(paths).read_bytes()


def test_if_declined_nothing_is_created_and_the_error_is_as_before(terminal: Terminal, paths: Paths) -> None:
    with terminal:
        terminal.wait_for("no credential store yet")
        terminal.press("n", "enter")
        terminal.wait_for("Secret of AK")
        terminal.press("x", "enter")
        terminal.wait_for("credential store")
        assert terminal.wait_exit() == 4
    assert not vault_path(paths).exists()
