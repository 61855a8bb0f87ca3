"""`authorize`: each method and each outcome, against OAuth endpoints like the services' own; secrets in a real
keyring."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from backup.cli import diagnostics
from backup.cli.diagnostics import ExitCode
from backup.system import qr
from backup.system.paths import Paths
from tests.cli.conftest import Cli, Result
from tests.credentials_fixture import SecretService
from tests.providers.test_google_drive_oauth import browse
from tests.servers.drive_oauth import ACCOUNT, CLIENT_ID, CLIENT_SECRET
from tests.servers.drive_server import DriveServer
from tests.servers.dropbox_server import APP_KEY, EMAIL, DropboxServer

Browser = Callable[[Callable[[str], object]], None]


@pytest.fixture
def dropbox(cli: Cli, secret_service: SecretService) -> Iterator[DropboxServer]:
    with DropboxServer() as server:
        for key, value in {"app_key": APP_KEY, "endpoint_url": server.url, "timeout": "10"}.items():
            assert cli("set-config", "dropbox", key, value).code == 0
        yield server


@pytest.fixture
def drive(cli: Cli, secret_service: SecretService) -> Iterator[DriveServer]:
    with DriveServer() as server:
        server.store.folder("Backups")
        values = {"container": "Backups", "client_id": CLIENT_ID, "endpoint_url": server.url, "timeout": "10"}
        for key, value in values.items():
            assert cli("set-config", "google_drive", key, value).code == 0
        assert cli("set-credentials", "google_drive", "-s", "client_secret", stdin=CLIENT_SECRET).code == 0
        yield server


@pytest.fixture
def at_the_address(monkeypatch: pytest.MonkeyPatch) -> Browser:
    """Runs a function in a thread with the address that is shown."""

    def register(act: Callable[[str], object]) -> None:
        def shown(url: str) -> None:
            threading.Thread(target=act, args=(url,), daemon=True).start()

        monkeypatch.setattr(diagnostics, "address", shown)

    return register


@pytest.fixture
def pasting(monkeypatch: pytest.MonkeyPatch) -> Browser:
    """Makes standard input from the address that is shown."""

    def register(act: Callable[[str], object]) -> None:
        brought: list[str] = []
        monkeypatch.setattr(diagnostics, "address", lambda url: brought.append(str(act(url))))
        monkeypatch.setattr("backup.cli.commands.authorize._pasted", lambda answer: brought[-1])

    return register


def secrets_in(result: Result, paths: Paths) -> list[str]:
    """Everything that looks like a token in the output or in files."""
    texts = [result.out, result.err, paths.config_file.read_text()]
    texts += [file.read_text() for file in paths.logs_dir.iterdir()]
    return [found for text in texts for found in re.findall(r"1//\S+|ya29\.\S+|sl\.\S+|GOCSPX\S+", text)]


def test_a_pasted_code_of_dropbox(cli: Cli, paths: Paths, dropbox: DropboxServer, pasting: Browser):
    pasting(dropbox.allow)
    result = cli("authorize", "dropbox", "--json")
    assert result.code == 0, result.err
    assert EMAIL in result.json()["account"]
    assert cli("test-providers", "dropbox").code == 0
    assert secrets_in(result, paths) == []


def test_the_address_is_shown_as_text_without_a_terminal(cli: Cli, dropbox: DropboxServer):
    result = cli("authorize", "dropbox", stdin="not-a-code-of-theirs\n")
    assert result.code == ExitCode.AUTHENTICATION
    assert f"\n{dropbox.url}/oauth2/authorize?" in result.err
    assert "\x1b" not in result.err
    assert "expired" in result.err


def test_empty_standard_input_is_a_usage_error(cli: Cli, dropbox: DropboxServer):
    assert cli("authorize", "dropbox").code == ExitCode.USAGE


def test_a_pasted_address_of_google(cli: Cli, paths: Paths, drive: DriveServer, pasting: Browser):
    pasting(browse)
    result = cli("authorize", "google_drive", "--json")
    assert result.code == 0, result.err
    assert result.json()["account"] == ACCOUNT
    assert cli("test-providers", "google_drive").code == 0
    assert secrets_in(result, paths) == []
    assert ACCOUNT in paths.config_file.read_text()


def test_an_authorisation_with_an_end_is_expiring(cli: Cli, drive: DriveServer, pasting: Browser):
    drive.authority.in_testing = True  # Google ends these after seven days
    pasting(browse)
    result = cli("authorize", "google_drive", "--json")
    assert abs(result.json()["expires_at"] - time.time() - 604_799) < 600
    (entry,) = cli("credentials", "list", "--json").json()["credentials"]
    assert (entry["state"], entry["expires_at"]) == ("expiring", result.json()["expires_at"])


def test_without_a_store_for_the_grant_no_address_is_shown(
    cli: Cli, dropbox: DropboxServer, secret_service: SecretService, pasting: Browser
):
    asked: list[str] = []
    pasting(asked.append)
    secret_service.lock()
    result = cli("authorize", "dropbox")
    assert result.code == ExitCode.CREDENTIAL_STORE
    assert "locked" in result.err
    assert asked == []


def test_through_the_tunnel(cli: Cli, drive: DriveServer, at_the_address: Browser):
    at_the_address(lambda url: browse(browse(url)))
    result = cli("authorize", "google_drive", "--method", "loopback")
    assert result.code == 0, result.err
    assert re.search(r"^    ssh -N -L (\d+):127\.0\.0\.1:\1 ", result.err, re.MULTILINE)


@pytest.mark.few(2)
@pytest.mark.parametrize(
    ("decision", "code", "word"), [("allow", 0, ""), ("deny", 5, "denied"), ("expire", 5, "expired")]
)
def test_on_another_device(
    cli: Cli, drive: DriveServer, monkeypatch: pytest.MonkeyPatch, decision: str, code: int, word: str
):
    drive.authority.interval_s = 0
    notes: list[str] = []

    def noted(text: str) -> None:
        notes.append(text)
        if found := re.search(r"code: (\S+)", text):
            drive.authority.decide(found[1], decision)

    monkeypatch.setattr(diagnostics, "note", noted)
    result = cli("authorize", "google_drive", "--method", "device")
    assert result.code == code, notes
    assert word in "\n".join(notes)


def test_denied(cli: Cli, drive: DriveServer, pasting: Browser):
    drive.authority.denies = True
    pasting(browse)
    result = cli("authorize", "google_drive")
    assert result.code == ExitCode.AUTHENTICATION
    assert "denied in the browser" in result.err


def test_another_account(cli: Cli, paths: Paths, drive: DriveServer, pasting: Browser):
    assert cli("set-config", "google_drive", "account", "me@example.com").code == 0
    pasting(browse)
    result = cli("authorize", "google_drive")
    assert result.code == ExitCode.AUTHENTICATION
    assert "belongs to me@example.com" in result.err
    assert "refresh_token" not in paths.config_file.read_text()


def test_the_answer_to_another_authorisation(cli: Cli, drive: DriveServer, pasting: Browser):
    pasting(lambda url: re.sub(r"state=[^&]+", "state=other", browse(url)))
    result = cli("authorize", "google_drive")
    assert result.code == ExitCode.AUTHENTICATION
    assert "another authorisation" in result.err


def test_a_service_that_needs_no_browser_says_so(cli: Cli):
    result = cli("authorize", "local")
    assert result.code == ExitCode.UNSUPPORTED
    assert "set-credentials" in result.err


def test_a_link_and_a_code_on_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "120")
    diagnostics.address("https://example.com/a?b=c")
    diagnostics.qr_code(qr.rows("https://example.com/a?b=c"))
    shown = capsys.readouterr().err
    assert "\x1b]8;;https://example.com/a?b=c\x1b\\https://example.com/a?b=c\x1b]8;;\x1b\\" in shown
    assert shown.count("\x1b[97;40m") >= 13
    diagnostics.address("https://example.com/\x1b]8;;evil")
    assert "\x1b" not in capsys.readouterr().err
    monkeypatch.setenv("COLUMNS", "20")
    diagnostics.qr_code(qr.rows("https://example.com/a?b=c"))
    assert "a terminal of" in capsys.readouterr().err


def test_a_qr_code_is_one():
    """The three finder patterns are in their places for any text."""
    rows = qr.rows("https://accounts.example.com/o/oauth2/v2/auth?" + "x" * 400)
    assert len({len(row) for row in rows}) == 1
    finder = ["█▀▀▀▀▀█", "█ ███ █", "█ ▀▀▀ █", "▀▀▀▀▀▀▀"]
    swapped = [row.translate(str.maketrans("█▀▄ ", " ▄▀█")) for row in rows]
    assert [row[2:9] for row in swapped[1:5]] == finder
    assert [row[-9:-2] for row in swapped[1:5]] == finder
