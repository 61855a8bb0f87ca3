"""Run as a program by test_canaries: the product with a bug injected just after a secret was used.

`crash.py WHERE ARGUMENT...`: WHERE is a method of `CredentialStores`, which does its work and then raises.
"""

from __future__ import annotations

import sys
from typing import Any

from backup.cli.main import run
from backup.core.credential_stores import CredentialStores


def break_after(method: str) -> None:
    whole = getattr(CredentialStores, method)

    def broken(self: CredentialStores, *arguments: Any, **more: Any) -> None:
        result = whole(self, *arguments, **more)
        held = [argument.reveal() if hasattr(argument, "reveal") else argument for argument in arguments]
        raise RuntimeError(f"a fault of ours behind {method}: {len(held)} arguments, {result is None}")

    setattr(CredentialStores, method, broken)


if __name__ == "__main__":
    break_after(sys.argv[1])
    sys.exit(run(sys.argv[2:], "homeserver-backup"))
