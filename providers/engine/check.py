"""The five steps of a connection check, the same for every service."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from providers.contract.cancel import CancelToken
from providers.contract.digests import digest_of
from providers.contract.report import PROBE_PREFIX, CheckStep, ConnectionReport, ErrorInfo, StepName, StepState
from providers.contract.storage import Storage
from providers.contract.upload import UploadRequest
from providers.engine.window import MemoryBody
from providers.errors import IncompleteListing, Integrity, ProviderError

_PROBE_BYTES: Final = 1024


def run_check(provider: Storage, on_step: Callable[[CheckStep], None] | None = None) -> ConnectionReport:
    """Run the steps in order until one fails; the rest is NOT_RUN. Each step is retried as configured."""
    actions: dict[StepName, Callable[[], str]] = {
        StepName.REACH: provider.check_reach,
        StepName.AUTHENTICATE: provider.check_authentication,
        StepName.CONTAINER: provider.check_container,
        StepName.LIST: lambda: _list(provider),
        StepName.WRITE_READ_DELETE: lambda: _write_read_delete(provider),
    }
    steps: list[CheckStep] = []
    failed = False
    for name, action in actions.items():
        step = CheckStep(name=name, state=StepState.NOT_RUN) if failed else _take(provider, name, action)
        failed = failed or step.state is StepState.FAILED
        steps.append(step)
        if on_step:
            on_step(step)
    return ConnectionReport(steps=tuple(steps), checked_at=provider.context.now())


def _take(provider: Storage, name: StepName, action: Callable[[], str]) -> CheckStep:
    clock = provider.context.clock
    began = clock()
    try:
        detail = provider.retry.run(action, provider.context.cancel)
    except ProviderError as error:
        return CheckStep(name=name, state=StepState.FAILED, elapsed_s=clock() - began, error=ErrorInfo.of(error))
    return CheckStep(name=name, state=StepState.OK, detail=detail, elapsed_s=clock() - began)


def _list(provider: Storage) -> str:
    try:
        page = provider.scan(limit=1000, delimiter="/")
    except IncompleteListing as error:  # one damaged entry says nothing about the connection
        page = error.page
    count = len(page.files) + len(page.prefixes)
    summary = f"first page, {count:,} {'entry' if count == 1 else 'entries'}"
    return f"{summary}; incomplete: {page.unread}" if page.unread else summary


def _write_read_delete(provider: Storage) -> str:
    write_read_delete(provider)
    provider.learn()
    return f"{_PROBE_BYTES // 1024} KiB probe, content matches"


def write_read_delete(provider: Storage) -> None:
    """Write a small object, read it back, remove it. Leaves nothing behind, even after a failure."""
    content = secrets.token_bytes(_PROBE_BYTES)
    key = f"{PROBE_PREFIX}{secrets.token_hex(8)}"
    try:
        _write(provider, key, content)
        _compare_sizes(provider, key)
        if _read(provider, key) != content:
            raise Integrity("the object read back differs from the one written")
        provider.remove(key)
    except BaseException:
        _remove_quietly(provider, key)
        raise


def _write(provider: Storage, key: str, content: bytes) -> None:
    request = UploadRequest(
        key=key, size_bytes=len(content), part_size_bytes=len(content), sha256=hashlib.sha256(content).hexdigest()
    )
    wanted = provider.capabilities.part_digests
    digests = {name: digest_of(name, content) for name in wanted}
    session = provider.open_upload(request)
    cancel: CancelToken = provider.context.cancel
    with cancel.calling(session.interrupt):
        try:
            session.commit([session.send(request.part(0), MemoryBody(content), digests)])
        except ProviderError:
            session.abort()
            raise


def _compare_sizes(provider: Storage, key: str) -> None:
    """Raises Integrity if the service, or a proxy in front of it, reports a wrong object size."""
    listed = provider.scan(key, delimiter="/", limit=1).files  # maybe another object, if names cannot be searched
    found = [("the object itself", provider.stat(key)), *(("the listing", file) for file in listed if file.key == key)]
    for where, file in found:
        if file.size_bytes != _PROBE_BYTES:
            raise Integrity(
                f"an object of {_PROBE_BYTES} bytes was written, but {where} reports {file.size_bytes}",
                hint="A proxy or cache in front of the service changes its answers: use the service's own address.",
            )


def _read(provider: Storage, key: str) -> bytes:
    reader = provider.read_range(key, 0, _PROBE_BYTES)
    try:
        with provider.context.cancel.calling(reader.interrupt):
            found = b"".join(reader)
        if reader.total_bytes not in (None, _PROBE_BYTES):
            raise Integrity(f"an object of {_PROBE_BYTES} bytes was written, but it reads as {reader.total_bytes}")
        return found
    finally:
        reader.close()


def _remove_quietly(provider: Storage, key: str) -> None:
    """For use after a failure: the first error is the one to report."""
    with suppress(ProviderError):
        provider.remove(key)
