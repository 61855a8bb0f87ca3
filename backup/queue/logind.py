"""Detection of logout ending this user's processes, and the way to avoid that."""

from __future__ import annotations

import configparser
import os
import pwd
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Final

ESCAPE: Final = ("systemd-run", "--user", "--scope", "--collect", "--quiet", "--")
"""Prefix for a command: it then runs in a scope of the user's own service manager, outside the session."""
_CONFIGURATION: Final = tuple(
    Path(folder) for folder in ("/usr/lib/systemd", "/usr/local/lib/systemd", "/run/systemd", "/etc/systemd")
)
_ENV_BUS: Final = "XDG_RUNTIME_DIR"


def kills_after_logout() -> bool:
    """Whether logind would end a process of this session at logout, and `ESCAPE` is available to prevent it."""
    return (
        in_session(Path("/proc/self/cgroup"))
        and kills_user_processes(_CONFIGURATION)
        and shutil.which(ESCAPE[0]) is not None
        and Path(os.environ.get(_ENV_BUS, "/nonexistent"), "systemd", "private").exists()
    )


def survives_logout() -> tuple[bool, str]:
    """Whether transfers survive the last logout on this machine, and why or how to achieve it."""
    if not in_session(Path("/proc/self/cgroup")) or not kills_user_processes(_CONFIGURATION):
        return True, "logging out ends no processes here"
    if lingers():
        return True, "transfers run under the user's own service manager, which lingers"
    return False, "logging out for the last time ends transfers; `loginctl enable-linger` keeps them running"


def in_session(cgroup: Path) -> bool:
    """Whether this process belongs to a login session of systemd-logind."""
    try:
        return "/session-" in cgroup.read_text()
    except OSError:
        return False


def kills_user_processes(folders: Iterable[Path]) -> bool:
    """`KillUserProcesses` of logind.conf and its drop-ins, as systemd reads them: the last one wins."""
    kills = False
    for file in _files(folders):
        parser = configparser.ConfigParser(strict=False, interpolation=None, allow_no_value=True)
        try:
            parser.read_string(file.read_text())
        except (OSError, configparser.Error):
            continue
        value = parser.get("Login", "KillUserProcesses", fallback=None)
        if value is not None:
            kills = value.strip().lower() in {"yes", "true", "on", "1"}
    return kills


def _files(folders: Iterable[Path]) -> list[Path]:
    """The main files first, then all drop-ins by name."""
    known = list(folders)
    main = [folder / "logind.conf" for folder in known]
    drop_ins = [file for folder in known for file in (folder / "logind.conf.d").glob("*.conf")]
    return [file for file in main if file.is_file()] + sorted(drop_ins, key=lambda file: file.name)


def lingers(folder: Path = Path("/var/lib/systemd/linger")) -> bool:
    try:
        return (folder / pwd.getpwuid(os.getuid()).pw_name).exists()
    except KeyError:
        return False
