"""`python -m backup.worker.park`: have the worker at work park and leave, for somebody who is about to replace the
environment that it runs in. Exit code 0: none runs any more; with `--go-on` afterwards another one is started where
there is work."""

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
