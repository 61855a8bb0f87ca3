"""The console with a real keyring daemon and a real vault: unlock, move, recovery kit."""

from __future__ import annotations

from typing import Any

from textual.widgets import Static

from backup.core.core import Core
from backup.model.credentials import StoreState
from backup.queries.client import QuestionsClient
from backup.system import qr
from backup.system.paths import Paths
from providers.secret import Secret
from tests.credentials_fixture import SecretService
from tests.tui.standin import screen_text, until
from tests.tui.test_store_dialogues import typed
from tui.app import BackupConsole

CANARY = "canary-real-secret-key"
PASSPHRASE = "marble tractor violin quiet"


async def sees(pilot: Any, *words: str) -> None:
    await until(pilot, lambda: all(word in screen_text(pilot.app) for word in words), timeout_s=30)


async def test_a_locked_keyring_is_unlocked_and_its_credentials_move_to_a_vault(
    paths: Paths, secret_service: SecretService
) -> None:
    core = Core(paths)
    secrets = {"secret_key": Secret(CANARY)}
    core.instances.save("aws_s3", "aws_s3", {"container": "photos", "access_key": "AKIAX"}, secrets)
    secret_service.lock()
    app = BackupConsole(core, QuestionsClient(paths))
    async with app.run_test(size=(80, 24)) as pilot:
        await sees(pilot, "Unlock the keyring", "keyring locked")
        await typed(pilot, "wrong", "enter")
        await sees(pilot, "Wrong password for the keyring")
        await typed(pilot, "correct horse", "enter")
        await sees(pilot, "keyring ready")
        await pilot.press("5", "c")
        await sees(pilot, "Secret Service", "✔ aws_s3")
        await pilot.press("s")
        await sees(pilot, "↵ selects", "in use")
        await pilot.press("end", "enter")
        await sees(pilot, "Create the vault")
        await typed(pilot, PASSPHRASE, "enter")
        await typed(pilot, PASSPHRASE, "enter")
        await sees(pilot, "Move the credentials?", "1 credential")
        await pilot.press("y")
        await sees(pilot, "✔ switch to the new store", "y deletes them.")
        await pilot.press("y")
        await sees(pilot, "✔ delete the old copies", "1 copy deleted")
        await pilot.press("escape")
        await sees(pilot, "vault ready", "vault (an encrypted file")
        await pilot.press("k")
        await sees(pilot, "Show the recovery kit?")
        await pilot.press("y")
        await sees(pilot, "RECOVERY KIT", "rclone", "the window 80 x 23: a smaller font")
        page = str(app.screen.query_one("#kit-text", Static).content)
        assert f"secret_access_key = {CANARY}\n" in page
        for_rclone = page[page.index("[aws_s3-storage]") : page.index("\n\n█")] + "\n"
        assert "\n".join(qr.rows(for_rclone, dark_background=True)) in page
        await pilot.press("n")
        await until(pilot, lambda: screen_text(app).split("\n")[2].startswith("████"))
        await pilot.resize_terminal(100, 60)
        await until(pilot, lambda: "a smaller font" not in screen_text(app))
        await pilot.press("escape")
        await sees(pilot, "Where secrets are kept")
        assert CANARY not in app.export_screenshot() + screen_text(app)
        await pilot.press("l")
        await sees(pilot, "vault locked")
    secret_service.stop_daemon()
    core = Core(paths)  # the console has closed the other
    assert core.credentials.status().state is StoreState.LOCKED
    core.credentials.unlock(Secret(PASSPHRASE))
    assert [fact.key for fact in core.credentials.all()] == ["aws_s3"]
    assert CANARY in core.credentials.recovery_kit().reveal()
    core.close()
    assert CANARY.encode() not in b"".join(path.read_bytes() for path in paths.config_dir.iterdir() if path.is_file())


async def test_a_keyring_that_hangs_while_unlocking_does_not_block_the_console_and_the_vault_is_offered(
    paths: Paths, secret_service: SecretService
) -> None:
    core = Core(paths)
    core.instances.save("aws_s3", "aws_s3", {"container": "photos", "access_key": "AKIAX"}, {"secret_key": Secret("s")})
    secret_service.lock()
    app = BackupConsole(core, QuestionsClient(paths))
    async with app.run_test(size=(80, 24)) as pilot:
        await sees(pilot, "Unlock the keyring")
        secret_service.freeze()
        await typed(pilot, "correct horse", "enter")
        await sees(pilot, "Opening it…")
        loops = 0
        while "Opening it…" in screen_text(app):  # the daemon is given 5 s
            loops += 1
            await pilot.pause(0.02)
        assert loops > 20  # the screen was drawn all the while
        await sees(pilot, "✖ The keyring does not answer", "instead: an encrypted file", "Another store")
        await pilot.press("tab", "enter")
        await sees(pilot, "✖ does not answer", "vault (an encrypted file", "recommended here")
        await pilot.press("escape", "escape", "5", "c")
        await sees(pilot, "state      ✖ does not answer", "✔ aws_s3")
        await pilot.press("1")
        await sees(pilot, "AWS S3")
