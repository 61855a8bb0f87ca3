"""`encryption_enabled` without encryption: nothing is uploaded or downloaded, whichever way it is requested."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from backup.journal import Journal
from backup.journal.records import Ending, JobRequest, NewItem
from backup.model.transfers import Conflicts, ItemKind, JobKind
from backup.queries import plans
from backup.system.paths import Paths
from providers.contract.cancel import CancelToken
from providers.errors import Unsupported
from tests.backup.test_transfer import carry_out
from tests.cli.conftest import Cli, cli, write_config
from tests.providers.memory import MemoryProvider, MemoryStore

__all__ = ["cli"]


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal(tmp_path / "journal.sqlite") as opened:
        yield opened


@pytest.fixture
def provider() -> MemoryProvider:
    """Encryption switched on after something was stored and items were queued."""
    store = MemoryStore()
    store.objects["x"] = b"ciphertext"
    return MemoryProvider(store, encryption_enabled=True)


@pytest.mark.few(3)
@pytest.mark.parametrize("kind", [JobKind.UPLOAD, JobKind.DOWNLOAD])
@pytest.mark.parametrize("what", [ItemKind.FILE, ItemKind.DIRECTORY])
@pytest.mark.parametrize("conflicts", list(Conflicts))
def test_items_queued_before_fail_and_say_why(
    journal: Journal, provider: MemoryProvider, tmp_path: Path, kind: JobKind, what: ItemKind, conflicts: Conflicts
) -> None:
    local = tmp_path / "down" / "x"
    if kind is JobKind.UPLOAD:
        local.parent.mkdir()
        local.write_bytes(b"plain")
    order = JobRequest(kind=kind, sources=("x",), to=str(tmp_path / "down"), conflicts=conflicts)
    outcome = carry_out(journal, provider, order, NewItem(name="x", key="x", local_path=str(local), kind=what))
    assert outcome.ending is Ending.FAILED
    assert outcome.error is not None
    assert "encryption_enabled" in outcome.error.message
    assert "false" in outcome.error.hint
    assert provider.store.objects == {"x": b"ciphertext"}
    assert kind is JobKind.UPLOAD or not local.parent.exists()


def test_stored_objects_may_be_deleted(journal: Journal, provider: MemoryProvider) -> None:
    order = JobRequest(kind=JobKind.DELETE, sources=("x",))
    assert carry_out(journal, provider, order, NewItem(name="x", key="x")).ending is Ending.DONE
    assert provider.store.objects == {}


def test_plans_refuse_before_they_connect(provider: MemoryProvider, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"plain")
    with pytest.raises(Unsupported, match="encryption_enabled"):
        plans.upload(provider, "m", [tmp_path / "x"], "", Conflicts.REPLACE, CancelToken())
    with pytest.raises(Unsupported, match="encryption_enabled"):
        plans.download(provider, "m", ["x"], tmp_path / "down", CancelToken())
    assert not provider.store.calls


@pytest.mark.parametrize(
    "arguments",
    [("upload", "SOURCE"), ("download", "x", "--to", "TARGET"), ("test-cycle",), ("upload", "SOURCE", "-d")],
)
def test_each_verb_says_the_same(cli: Cli, paths: Paths, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    storage = tmp_path / "storage"
    storage.mkdir()
    (storage / "x").write_bytes(b"ciphertext")
    (tmp_path / "source").write_bytes(b"plain")
    write_config(paths, local={"enabled": True, "container": str(storage), "encryption_enabled": True})
    places = {"SOURCE": str(tmp_path / "source"), "TARGET": str(tmp_path / "down"), "-d": "--detach"}
    result = cli(*(places.get(argument, argument) for argument in arguments))
    assert result.code != 0
    assert "encryption_enabled is set, but this version can neither encrypt nor decrypt" in result.out + result.err
    assert "Set encryption_enabled to false" in result.out + result.err
    assert {path.name for path in storage.iterdir() if not path.name.startswith(".")} == {"x"}
    assert not (tmp_path / "down").exists()
