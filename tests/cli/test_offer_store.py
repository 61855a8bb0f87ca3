"""`set-credentials` on a terminal where no store is there at all: the vault is made right there."""

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


def test_the_vault_is_offered_made_and_used(terminal: Terminal, paths: Paths) -> None:
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


def test_who_declines_is_told_as_before_and_nothing_is_made(terminal: Terminal, paths: Paths) -> None:
    with terminal:
        terminal.wait_for("no credential store yet")
        terminal.press("n", "enter")
        terminal.wait_for("Secret of AK")
        terminal.press("x", "enter")
        terminal.wait_for("credential store")
        assert terminal.wait_exit() == 4
    assert not vault_path(paths).exists()
