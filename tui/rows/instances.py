"""An instance in words: its two lines in the list, and the facts of the detail pane."""

from __future__ import annotations

from typing import Any, Final

from textual.content import Content

from backup.model.credentials import StoreState, StoreStatus
from backup.model.instances import InstanceInfo, InstanceState, ServiceInfo
from providers.contract.report import ConnectionReport
from tui.rows.stores import store_noun
from tui.text import cut_end, duration, safe, size, when
from tui.theme import STYLES, Tone

STATES: Final[dict[InstanceState, tuple[str, str, Tone]]] = {
    InstanceState.READY: ("●", "ready · enabled", Tone.PROVED),
    InstanceState.FAILING: ("▲", "enabled · refused when last asked", Tone.WAITING),
    InstanceState.DISABLED: ("○", "disabled", Tone.MUTED),
    InstanceState.INCOMPLETE: ("▲", "incomplete", Tone.WAITING),
    InstanceState.UNAVAILABLE: ("✖", "cannot be used here", Tone.FAILED),
    InstanceState.INVALID: ("✖", "settings are wrong", Tone.FAILED),
}
_SHUT: Final = {
    StoreState.LOCKED: "is locked · u opens it",
    StoreState.NO_COLLECTION: "is not set up · u creates it",
    StoreState.UNAVAILABLE: "is missing · u says why",
    StoreState.HUNG: "does not answer · u says why",
}
"""Reasons why the credentials of a ready instance cannot be read now."""
_LABEL_WIDTH: Final = 13
_DAY_S: Final = 86_400.0


def ago(timestamp_s: float | None, now_s: float) -> str:
    """'3 min ago'; the date if it is older than a day."""
    if timestamp_s is None:
        return "never"
    past = max(0.0, now_s - timestamp_s)
    if past < 60:
        return "just now"
    if past < 3600:
        return f"{int(past // 60)} min ago"
    return f"{int(past // 3600)} h ago" if past < _DAY_S else when(timestamp_s, now_s)


def two_lines(info: InstanceInfo, width: int, now_s: float) -> Content:
    """Sign, title and name; below, the container, or what is wrong."""
    sign, word, tone = STATES[info.state]
    own_name = "" if info.name == info.type else f"  {safe(info.name)}"
    if info.usable and info.check_ok is False:
        sign, tone = "▲", Tone.WAITING
        second = f"check failed {ago(info.checked_at, now_s)}"
    elif info.state is not InstanceState.READY:
        second = word if info.checked_at or info.state is not InstanceState.DISABLED else f"{word} · not checked"
    else:
        checked = f"checked {ago(info.checked_at, now_s)}" if info.checked_at else ""
        second = " · ".join(part for part in (safe(info.container), checked) if part)
    return Content.assemble(
        (f"{sign} ", STYLES[tone]),
        (cut_end(safe(info.title), width - 2), STYLES[Tone.STRONG]),
        (cut_end(own_name, max(0, width - 2 - len(info.title))), STYLES[Tone.MUTED]),
        (f"\n  {cut_end(second, width - 2)}", STYLES[Tone.MUTED]),
    )


def not_set_up(service: ServiceInfo, width: int) -> Content:
    """A service without an instance."""
    word = cut_end(f"not usable: {safe(service.unavailable)}" if service.unavailable else "not set up", width - 2)
    sign = ("✖ ", STYLES[Tone.FAILED]) if service.unavailable else ("○ ", STYLES[Tone.MUTED])
    return Content.assemble(sign, (safe(service.title), STYLES[Tone.PLAIN]), (f"\n  {word}", STYLES[Tone.MUTED]))


def facts(info: InstanceInfo, container_word: str, store: StoreStatus | None) -> Content:
    """State, container, credentials and upload settings, one labelled line each."""
    sign, word, tone = STATES[info.state]
    lines = [_fact("state", f"{sign} {word}", tone)]
    place_tone = Tone.PLAIN if info.container else Tone.WAITING
    lines.append(_fact(container_word, info.container or "not chosen yet", place_tone))
    if info.type == "local":
        lines.append(_fact("", "no backup if on the same disk", Tone.WAITING))
    for key in ("endpoint_url", "region", "prefix"):
        if info.settings.get(key):
            lines.append(_fact(key.partition("_")[0], str(info.settings[key])))
    lines.append(_fact("credentials", *_credentials(info, store)))
    lines.append(_fact("upload", _upload(info.settings)))
    return Content("\n").join(lines)


def last_check(info: InstanceInfo, report: ConnectionReport | None, now_s: float) -> Content:
    """The heading above the steps of a check. `report` is newer than the check in `info`."""
    at, passed = (report.checked_at, report.ok) if report else (info.checked_at, info.check_ok)
    if at is None:
        shown = ("none with these settings · t checks", STYLES[Tone.WAITING])
    elif passed:
        shown = (f"✔ passed {ago(at, now_s)}", STYLES[Tone.PROVED])
    else:
        shown = (f"✖ failed {ago(at, now_s)}", STYLES[Tone.FAILED])
    return Content.assemble(("LAST CHECK  ", STYLES[Tone.MUTED]), shown)


def _fact(label: str, text: str, tone: Tone = Tone.PLAIN) -> Content:
    return Content.assemble((label.ljust(_LABEL_WIDTH), STYLES[Tone.MUTED]), (safe(text), STYLES[tone]))


def _credentials(info: InstanceInfo, store: StoreStatus | None) -> tuple[str, Tone]:
    if info.has_credentials is None:
        return "none needed", Tone.PLAIN
    if info.has_credentials:
        if store is not None and store.state in _SHUT:
            return f"▲ the {store_noun(store)} {_SHUT[store.state]}", Tone.WAITING
        return "in the credential store", Tone.PLAIN
    return "none stored; the SDK's own chain is used", Tone.MUTED


def _upload(settings: dict[str, Any]) -> str:
    """'parts of 100 MiB, 5 connections, no limit'."""
    parts: list[str] = []
    if isinstance(part_bytes := settings.get("upload_chunk_size"), int):
        parts.append(f"parts of {size(part_bytes)}")
    if isinstance(connections := settings.get("connection_pool_size"), int):
        parts.append(f"{connections} connection{'s' if connections != 1 else ''}")
    limit = settings.get("max_bandwidth")
    parts.append(f"at most {size(limit)}/s" if isinstance(limit, int) else "no limit")
    retry_delay = settings.get("retry_delay")
    if settings.get("max_retries") and isinstance(retry_delay, int | float):
        parts.append(f"{settings['max_retries']} retries from {duration(float(retry_delay))}")
    return ", ".join(parts)
