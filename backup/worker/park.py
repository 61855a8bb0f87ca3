"""`python -m backup.worker.park`: makes the worker park and leave, before its environment is replaced. Exit code 0: no
worker runs any more. Called with `--go-on` afterwards, it starts another one if there is work."""

from __future__ import annotations

import sys

from backup.handshake import takeover
from backup.queue import start_worker
from backup.system.paths import Paths
from backup.system.text import safe
from providers.errors import ProviderError


def main(arguments: list[str]) -> int:
    paths = Paths.default()
    try:
        if arguments == ["--go-on"]:
            if paths.journal_file.exists() and start_worker.left_behind(paths):
                start_worker.ensure(paths)
        elif paths.state_dir.exists():
            takeover.park(paths)
    except ProviderError as error:
        print(safe(f"{error} {error.hint}"), file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
