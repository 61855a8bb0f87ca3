"""Units for unattended jobs: their text, writing them, and systemd's own verdict."""

from __future__ import annotations

import stat
import subprocess
from pathlib import Path

import pytest

from backup.credentials.unattended.units import (
    CREDENTIAL_FILE,
    PROTECTION,
    Variant,
    WriteState,
    credential_commands,
    resume_setup,
    timer_setup,
    verify_units,
    write_units,
)
from providers.errors import Conflict, InvalidConfiguration, PermissionDenied

COMMAND = ["/bin/echo", "two words", "100%", "$HOME", 'a"b', "back\\slash"]


def _timer(variant: Variant = Variant.SYSTEMD_CREDENTIAL, **options: object):
    return timer_setup(variant, user="root", command=COMMAND, key_file=Path("/root/my key %h"), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("variant", list(Variant))
def test_systemd_finds_nothing_wrong_with_the_units(variant: Variant, tmp_path: Path) -> None:
    setup = _timer(variant)
    written = write_units(setup, tmp_path / "system")
    verdict = verify_units(written)
    assert (verdict.ok, verdict.says) == (True, "")
    assert setup.protects == PROTECTION[variant]
    assert setup.protects.count(". ") == 0
    if variant is not Variant.SYSTEMD_CREDENTIAL:
        resume = resume_setup(variant, user="root", command=COMMAND, key_file=Path("/root/my $key"))
        verdict = verify_units(write_units(resume, tmp_path / "user"), user_units=True)
        assert (verdict.ok, verdict.says) == (True, "")


def test_systemd_finds_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "bad.service").write_text("[Service]\nExecStart=/does/not/exist\n")
    verdict = verify_units([tmp_path / "bad.service"])
    assert verdict.ok is False
    assert "not executable" in verdict.says


def test_missing_systemd_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert verify_units([tmp_path / "x.service"]).ok is None


def test_only_the_key_is_handed_to_systemd_and_never_in_clear() -> None:
    setup = _timer()
    service, timer = setup.units
    assert "LoadCredentialEncrypted=homeserver-backup-vault-key:/etc/credstore.encrypted/" in service.text
    assert "LimitCORE=0" in service.text
    assert 'ExecStart=/bin/echo "two words" 100%% "$$HOME" "a\\"b" "back\\\\slash"\n' in service.text
    assert "Persistent=true" in timer.text
    assert any("--print-key | sudo systemd-creds encrypt --with-key=host" in line for line in setup.commands)
    assert setup.commands[-2].endswith("enable --now homeserver-backup.timer")


def test_the_key_reaches_systemd_creds_through_a_pipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The exact command, except for sudo, its target and the path of the machine's own key."""
    monkeypatch.setenv("SYSTEMD_CREDENTIAL_SECRET", str(tmp_path / "secret"))
    _, pipe = credential_commands(["printf", "%s", "canary-key"])
    target = tmp_path / CREDENTIAL_FILE.name
    line = pipe.replace("sudo ", "").replace(str(CREDENTIAL_FILE), str(target))
    subprocess.run(["sh", "-c", line], capture_output=True, timeout=30, check=True)
    assert b"canary" not in target.read_bytes()
    decrypt = ["systemd-creds", "decrypt", str(target), "-"]
    assert subprocess.run(decrypt, capture_output=True, timeout=30, check=True).stdout == b"canary-key"


def test_key_files_are_named_to_systemd_or_to_the_vault_itself() -> None:
    service = _timer(Variant.KEY_FILE).units[0].text
    assert "LoadCredential=homeserver-backup-vault-key:/root/my key %%h\n" in service
    resume = resume_setup(Variant.KEY_FILE, user="alice", command=COMMAND, key_file=Path("/home/alice/$key"))
    assert 'Environment="KEYRING_PROPERTY_KEY_FILE=/home/alice/$key"\n' in resume.units[0].text
    assert resume.commands[0] == "sudo loginctl enable-linger alice"
    assert any("linger" in note for note in resume.notes)
    assert "WantedBy=default.target" in resume.units[0].text


@pytest.mark.parametrize(
    "make",
    [
        lambda: timer_setup(Variant.SYSTEMD_CREDENTIAL, user="root\nExecStart=/bin/sh", command=COMMAND),
        lambda: timer_setup(Variant.SYSTEMD_CREDENTIAL, user="root", command=["relative"]),
        lambda: timer_setup(Variant.SYSTEMD_CREDENTIAL, user="root", command=["/bin/x", "a\nb"]),
        lambda: timer_setup(Variant.SYSTEMD_CREDENTIAL, user="root", command=COMMAND, on_calendar="daily\n[Service]"),
        lambda: timer_setup(Variant.KEY_FILE, user="root", command=COMMAND),
        lambda: timer_setup(Variant.KEY_FILE, user="root", command=COMMAND, key_file=Path("relative")),
        lambda: resume_setup(Variant.SYSTEMD_CREDENTIAL, user="root", command=COMMAND),
    ],
)
def test_values_that_a_unit_cannot_hold_are_refused(make) -> None:
    with pytest.raises(InvalidConfiguration):
        make()


def test_units_are_readable_and_never_replaced_without_saying(tmp_path: Path) -> None:
    setup = _timer()
    first = write_units(setup, tmp_path)
    assert set(first.values()) == {WriteState.WRITTEN}
    assert {stat.S_IMODE(path.stat().st_mode) for path in first} == {0o644}
    assert set(write_units(setup, tmp_path).values()) == {WriteState.UNCHANGED}
    changed = _timer(on_calendar="hourly")
    (tmp_path / "homeserver-backup.service").unlink()
    with pytest.raises(Conflict, match=r"homeserver-backup\.timer"):
        write_units(changed, tmp_path)
    assert not (tmp_path / "homeserver-backup.service").exists()
    assert list(write_units(changed, tmp_path, replace=True).values()) == [WriteState.WRITTEN, WriteState.REPLACED]
    assert "hourly" in (tmp_path / "homeserver-backup.timer").read_text()
    (tmp_path / "file").touch()
    with pytest.raises(PermissionDenied):
        write_units(setup, tmp_path / "file")
