"""An error is the same in every process, whatever modules are imported there."""

from __future__ import annotations

import importlib
import pickle
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import backup
import providers
from backup.credentials.errors import CredentialStoreError
from backup.files.scan import IsAFolder
from providers.contract.report import ErrorInfo
from providers.errors import (
    Authentication,
    InvalidConfiguration,
    NotFound,
    ProviderError,
    RateLimited,
    Transient,
    from_wire,
)

ROOT = Path(__file__).resolve().parents[2]


def test_the_kind_of_a_class_that_is_not_imported_is_kept() -> None:
    code = (
        "from providers.errors import ProviderError, from_wire\n"
        "from providers.contract.report import ErrorInfo\n"
        "import sys\n"
        "assert 'backup.credentials.errors' not in sys.modules\n"
        "error = from_wire('credential_store', 'locked', hint='unlock it', code='locked')\n"
        "assert type(error) is ProviderError\n"
        "print(error.kind, ErrorInfo.of(error).kind, error.code, error.hint)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True, cwd=ROOT
    )
    assert done.stdout == "credential_store credential_store locked unlock it\n"


def test_the_kind_is_kept_across_several_processes() -> None:
    error = from_wire("of-a-plug-in", "what", hint="how", code="c")
    again = pickle.loads(pickle.dumps(error))
    assert (again.kind, again.message, again.hint, again.code) == ("of-a-plug-in", "what", "how", "c")
    assert ErrorInfo.of(again).error().kind == "of-a-plug-in"
    assert ProviderError.kind == "provider"


def test_pickling_loses_nothing_of_an_error() -> None:
    error = InvalidConfiguration("region: wrong", field="region", hint="Set it.")
    error.add_note("the upload failed")
    again = pickle.loads(pickle.dumps(error))
    assert (again.field, again.hint, again.__notes__) == ("region", "Set it.", ["the upload failed"])
    later = pickle.loads(pickle.dumps(RateLimited("slowly", retry_after_s=7)))
    assert (later.retry_after_s, later.retryable) == (7.0, True)


def test_known_kinds_are_restored_as_their_class() -> None:
    assert type(from_wire("credential_store", "x")) is CredentialStoreError
    configuration = from_wire("configuration", "x", code="region")
    assert isinstance(configuration, InvalidConfiguration)
    assert configuration.field == "region"
    assert "kind" not in vars(configuration)


class _WithItsOwnSignature(Transient):
    kind = "test_own_signature"

    def __init__(self, host: str, port: int) -> None:
        super().__init__(f"{host}:{port} is down", hint="Start it.", code="down")


class _SettingOfAPlugIn(InvalidConfiguration):
    kind = "test_setting"


class _Borrowed(Authentication):
    kind = "transient"


class _NoAdvice(NotFound):
    cure = ""


@pytest.mark.parametrize(
    ("error", "back_as"),
    [
        (_WithItsOwnSignature("nas", 22), _WithItsOwnSignature),
        (_SettingOfAPlugIn("shelf: wrong", field="shelf", hint="Set it."), _SettingOfAPlugIn),
        (Transient("no line"), Transient),
        (_Borrowed("busy"), Transient),
        (_NoAdvice("no such key"), NotFound),
        (IsAFolder("a"), NotFound),
    ],
)
def test_errors_of_plug_ins_and_subclasses_are_restored_unchanged(
    error: ProviderError, back_as: type[ProviderError]
) -> None:
    """Whatever their constructors take, and even if they reuse the kind of another class."""
    info = ErrorInfo.of(error)
    again = info.error()
    assert type(again) is back_as
    assert ErrorInfo.of(again) == info
    assert (str(again), again.retryable) == (str(error), back_as.retryable)
    pickled = pickle.loads(pickle.dumps(error))
    assert (type(pickled), ErrorInfo.of(pickled)) == (type(error), info)


def test_every_error_of_this_program_is_restored_with_its_kind() -> None:
    for package in (providers, backup):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__") and not module.name.startswith("providers.testing."):
                importlib.import_module(module.name)
    classes, found = [ProviderError], set()
    while classes:
        cls = classes.pop()
        classes += cls.__subclasses__()
        if cls.__module__.startswith(("providers.", "backup.")):
            again = ErrorInfo(cls.kind, "what", "how", "code").error()
            assert (again.kind, again.message, again.hint) == (cls.kind, "what", "how")
            assert issubclass(cls, type(again)), cls
            found.add(cls.kind)
    assert {"vault_locked", "keyring_dismissed", "connection_lost", "worker"} < found


def test_a_message_is_never_as_long_as_what_a_service_sent() -> None:
    error = Transient("x" * 100_000)
    assert len(error.message) < 10_000
    assert str(error) == error.message
    assert error.message.endswith(" ...")
