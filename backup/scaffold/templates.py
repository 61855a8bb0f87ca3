"""The texts of `new-provider`. `$name`, `$title`, `$cls` and `$harness` are filled in."""

from __future__ import annotations

from typing import Final

from providers import settings
from providers.settings import ProviderSettings, SettingField

_SETTINGS: Final = '''"""Settings of the $title service. Imports no SDK."""

from __future__ import annotations

from typing import ClassVar

from providers.settings import ProviderSettings


class Settings(ProviderSettings, kw_only=True, frozen=True):
    """$title: say in one line what it is."""

    title: ClassVar[str] = "$title"
    container_word: ClassVar[str] = "bucket"
'''

_PROVIDER: Final = '''"""$title. To be written: `TO_DO` says what; `providers/contract/storage.py` says the rest."""

from __future__ import annotations

from typing import Any, ClassVar

from providers.base import BaseProvider, RangeReader
from providers.contract.capabilities import Capabilities
from providers.errors import Unsupported
from providers.contract.objects import Page, RemoteFile
from providers.$name.settings import Settings
from providers.contract.upload import UploadRequest, UploadSession


class ${cls}Provider(BaseProvider):
    """$title, one instance."""

    name = "$name"
    Settings = Settings

    TO_DO: ClassVar[dict[str, str]] = {
        "capabilities": "what the service can do, and its limits",
        "location": "service, endpoint, account and container in one line, no secret",
        "scan": "one page of a listing, with prefix, delimiter and continuation token",
        "stat": "one object with the checksums that the service tells; NotFound",
        "open_upload": "an UploadSession (`providers.contract`): token, confirmed, send, commit, abort, interrupt",
        "read_range": "a RangeReader over some bytes of an object",
        "remove": "delete one object; NotFound",
        "check_reach": "something answers there",
        "check_authentication": "who we are, as the service sees it",
        "check_container": "the container is there",
        "errors": "every exception of the SDK becomes one of providers/errors.py",
        "settings": "what the service needs beside the standard structure; `not_applicable` names what has no effect",
        "harness": "tests/contract/${name}_harness.py: a server that speaks for the service, `Wire`, `Trouble`s",
        "readme": "what providers/$name/README.md leaves open, and the service's row in README.md",
    }
    """Take each line out once it is done: while one is left, the contract suite is this list. Then take it out whole,
    and `to_do` of the harness."""

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities()

    @property
    def location(self) -> str:
        return f"$name:{self.settings.container}"

    def scan(self, prefix: str = "", *, delimiter: str = "", token: str | None = None, limit: int = 1000) -> Page:
        raise self._to_do("scan")

    def stat(self, key: str) -> RemoteFile:
        raise self._to_do("stat")

    def open_upload(self, request: UploadRequest, *, token: dict[str, Any] | None = None) -> UploadSession:
        raise self._to_do("open_upload")

    def read_range(self, key: str, offset: int, size_bytes: int, *, etag: str = "") -> RangeReader:
        raise self._to_do("read_range")

    def remove(self, key: str) -> None:
        raise self._to_do("remove")

    def check_reach(self) -> str:
        raise self._to_do("check_reach")

    def check_authentication(self) -> str:
        raise self._to_do("check_authentication")

    def check_container(self) -> str:
        raise self._to_do("check_container")

    def _to_do(self, what: str) -> Unsupported:
        return Unsupported(f"$title cannot do this yet: {what} ({self.TO_DO.get(what, '')})")
'''

FILES: Final = {"__init__.py": "", "settings.py": _SETTINGS, "provider.py": _PROVIDER}

HARNESS: Final = '''"""$title under the contract suite.

`_open` is to start a server that speaks for the service, with a fresh container.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from providers.contract.capabilities import Capabilities
from providers.$name.provider import ${cls}Provider
from providers.testing.harness import Connections, FixtureValue, Harness, Limits, Root


@contextmanager
def _open(fixture: FixtureValue, tmp: Path) -> Iterator[Root]:
    # Give it a server and the view past the product that `Root` asks for: see the other harnesses.
    yield cast(Root, Connections("$name", {"container": "suite"}, tmp))


$harness = Harness(
    name="$name",
    service="$name",
    open=_open,
    capabilities=Capabilities(),
    limits=Limits(part_bytes=1 << 20),
    to_do=${cls}Provider.TO_DO,
)
'''

_README: Final = """# {title}

## Overview

What it is, what it proves, what it costs.

## Configuration

{table}

Every setting of the standard structure has an effect here.

## Setup Instructions

1. Make an account, and a container for this alone.
2. Make credentials that may do just what a backup needs.
3. `homeserver-backup set-credentials {name}`, then `homeserver-backup enable-provider {name}`.

## Usage Examples

```
homeserver-backup upload ~/photos --provider {name} --to photos
homeserver-backup test-cycle --provider {name}
```

## Troubleshooting

| you see | do |
|---|---|
| | |

## Limits and costs

## Security Features

Who can read what, and where the secret is.
"""


def readme(name: str, title: str) -> str:
    """The skeleton of a README; its table of settings is true."""
    rows = [f"| `{field.name}` | {field.label} | {_default(field)} | {field.help} |" for field in _fields()]
    table = "\n".join(["| Setting | Label | Default | Meaning |", "|---|---|---|---|", *rows])
    return _README.format(name=name, title=title, table=table)


def _fields() -> tuple[SettingField, ...]:
    return settings.describe(ProviderSettings)


def _default(field: SettingField) -> str:
    if field.required:
        return "**required**"
    if field.default is None:
        return "none"
    if field.default == "":
        return "empty"
    text = str(field.default).lower() if isinstance(field.default, bool) else str(field.default)
    return f"`{text}`" + (f" {field.unit}" if field.unit else "")
