"""The default instance: used by a command that names none, and opened first by the console."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from backup.config import file
from backup.config.file import EMBEDDED, Configuration
from backup.handshake.takeover import open_journal
from backup.instances import describing
from backup.journal import jobs
from backup.model.instances import InstanceInfo
from backup.system.paths import Paths
from providers.errors import InvalidConfiguration, ProviderError
from providers.remedies import Action, Remedy

_REMEDIES = (Remedy(Action.NAME_PROVIDER), Remedy(Action.CHOOSE_DEFAULT))


def default_provider(paths: Paths) -> str:
    """The setting `default_provider`; else the only enabled instance other than `local`; else `local`, if nothing else
    was ever set up on this machine.

    Raises InvalidConfiguration if that leaves a choice, or if the configuration is unusable: a copy that silently goes
    to the same disk is worse than a question. Raises ProviderError if the answer needs the journal and it cannot be
    read.
    """
    configuration = file.load(paths)
    if configuration.problem and not configuration.usable:
        raise configuration.problem.error()
    setting = configuration.default_provider
    only_local = not setting and _only_local(paths, configuration)
    return choose(describing.describe_all(paths), setting, only_local=only_local)


def choose(infos: Sequence[InstanceInfo], setting: str, *, only_local: bool) -> str:
    """The rule itself. `only_local`: nothing but the embedded storage was ever set up."""
    names = [info.name for info in infos]
    if setting:
        if setting not in names:
            raise InvalidConfiguration(
                f"default_provider is {setting!r}, and there is no provider of that name",
                field="default_provider",
                hint=f"Providers: {', '.join(names)}.",
                remedies=(Remedy(Action.CHOOSE_DEFAULT),),
            )
        return setting
    enabled = [info.name for info in infos if info.enabled and (info.name, info.type) != (EMBEDDED, EMBEDDED)]
    if len(enabled) == 1:
        return enabled[0]
    if enabled:
        raise InvalidConfiguration(f"several providers are enabled: {', '.join(enabled)}", remedies=_REMEDIES)
    if only_local:
        return EMBEDDED
    others = [name for name in names if name != EMBEDDED]
    which = f"{', '.join(others)} {'is' if len(others) == 1 else 'are'} not enabled" if others else "none is set up now"
    raise InvalidConfiguration(
        f"there is no default provider: more than local storage was set up here, and {which}",
        hint=f"Local storage is called {EMBEDDED}.",
        remedies=_REMEDIES,
    )


def mark_default(paths: Paths, infos: tuple[InstanceInfo, ...]) -> tuple[InstanceInfo, ...]:
    """`infos` with the default one marked; none is marked if the rule leaves a choice."""
    try:
        name = default_provider(paths)
    except ProviderError:
        return infos
    return tuple(msgspec.structs.replace(info, is_default=info.name == name) for info in infos)


def _only_local(paths: Paths, configuration: Configuration) -> bool:
    """By the configuration, and by whether transfers ever went elsewhere: the file may have been edited by hand."""
    if not configuration.only_local:
        return False
    if not paths.journal_file.exists():
        return True
    try:
        with open_journal(paths)[0] as journal, journal.look() as db:
            return not jobs.other_instances(db, EMBEDDED)
    except ProviderError:
        if configuration.exists:
            return True
        raise
