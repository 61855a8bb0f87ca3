"""An error is the same in every process, whatever that has imported."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

from backup.credentials.errors import CredentialStoreError
from providers.contract.report import ErrorInfo
from providers.errors import InvalidConfiguration, ProviderError, RateLimited, from_wire

ROOT = Path(__file__).resolve().parents[2]


def test_a_kind_of_which_the_class_was_never_imported_stays() -> None:
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


def test_it_stays_on_the_way_through_several_processes() -> None:
    error = from_wire("of-a-plug-in", "what", hint="how", code="c")
    again = pickle.loads(pickle.dumps(error))
    assert (again.kind, again.message, again.hint, again.code) == ("of-a-plug-in", "what", "how", "c")
    assert ErrorInfo.of(again).error().kind == "of-a-plug-in"
    assert ProviderError.kind == "provider"


def test_nothing_of_an_error_is_lost_when_it_is_pickled() -> None:
    error = InvalidConfiguration("region: wrong", field="region", hint="Set it.")
    error.add_note("the upload failed")
    again = pickle.loads(pickle.dumps(error))
    assert (again.field, again.hint, again.__notes__) == ("region", "Set it.", ["the upload failed"])
    later = pickle.loads(pickle.dumps(RateLimited("slowly", retry_after_s=7)))
    assert (later.retry_after_s, later.retryable) == (7.0, True)


def test_known_kinds_come_back_as_their_class() -> None:
    assert type(from_wire("credential_store", "x")) is CredentialStoreError
    configuration = from_wire("configuration", "x", code="region")
    assert isinstance(configuration, InvalidConfiguration)
    assert configuration.field == "region"
    assert "kind" not in vars(configuration)
