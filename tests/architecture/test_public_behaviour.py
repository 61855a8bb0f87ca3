"""Public behaviour, on which scripts, files and plug-ins rely, matches `recorded/`. `record.py` writes it again."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture import json_runs, record

HOW = "If this is meant: python -m tests.architecture.record, in the same commit"


@pytest.fixture(scope="module")
def of_runs() -> Iterator[dict[str, set[str]]]:
    folder = Path(tempfile.mkdtemp(prefix="run-"))  # short: a socket's path may have 107 bytes
    yield record.of_runs(folder)
    shutil.rmtree(folder)


def changed(name: str, found: set[str]) -> str:
    differences = record.differences(name, found)
    return "\n".join([f"{name}:", *differences, HOW]) if differences else ""


@pytest.mark.parametrize("name", record.LISTS)
def test_public_behaviour_stays_as_recorded(name: str) -> None:
    assert changed(name, set(record.LISTS[name]())) == ""


@pytest.mark.parametrize("name", ["json_keys", "config"])
def test_json_and_configuration_of_real_runs_stay_as_recorded(name: str, of_runs: dict[str, set[str]]) -> None:
    assert changed(name, of_runs[name]) == ""


def test_every_verb_that_prints_json_was_run() -> None:
    run = {line.partition(": ")[0] for line in record.recorded("json_keys")}
    assert run == json_runs.verbs_with_json()


def test_a_difference_is_reported_in_plain_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "RECORDED", tmp_path)
    (tmp_path / "verbs.txt").write_text("list\nupload\n")
    assert record.differences("verbs", {"list", "upload"}) == []
    assert record.differences("verbs", {"list", "send"}) == [
        "missing, and users may rely on it: upload",
        "new, and not recorded yet: send",
    ]
