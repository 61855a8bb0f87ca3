"""The configuration file: one JSON file in the guide's structure, with a version.

    {"version": 1,
     "providers":   {"<instance>": {"type": "<service>", "enabled": true, "container": ..., ...}},
     "checks":      {"<instance>": {"at": 1790000000.0, "ok": true, "fingerprint": "...", "steps": [...]}},
     "credentials": {"<credentials_key>": {"username": "...", "fields": ["password"], "revision": "..."}},
     "default_provider": "<instance>",
     "history_days": 90,
     "local_fallback": false,
     "credential_store": {"backend": "vault", "key_file": "/path", "password_command": ["pass", "show", "backup"]}}

`type` defaults to the instance's name. `local_fallback` becomes false for good once anything but `local` was set up: a
command then uses the local disk only if it names it. `checks` and `credentials` are records of the program, without
secrets. Keys that this version does not know are kept. This module never accesses the keyring.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from backup.config import text as config_text
from backup.config.text import ConfigDocument
from backup.model.credentials import StoreBackend, StoreSettings
from backup.system.paths import Paths
from backup.system.private_files import exclusive_lock, private_folder, write_private
from providers import registry, settings
from providers.contract.report import CheckStep, ErrorInfo
from providers.errors import InvalidConfiguration
from providers.secret import Secret
from providers.settings import ProviderSettings, holds_password

EMBEDDED: Final = "local"
DEFAULT_PROVIDER: Final = "default_provider"
HISTORY_DAYS: Final = "history_days"
"""Settings of the program; instances cannot have these names."""
DEFAULT_HISTORY_DAYS: Final = 90
MOST_HISTORY_DAYS: Final = 36_500
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SECRET_NAME: Final = re.compile(
    r"password|passphrase|secret|token|^api_key$|^application_key$|^encryption_(key|salt)$"
)


class InstanceConfig(msgspec.Struct, frozen=True, kw_only=True):
    """An instance in the file. `values` has no `type`, and its secrets are Secrets; it may contain unknown keys."""

    name: str
    type: str
    values: dict[str, Any]

    @property
    def credentials_key(self) -> str:
        """The entry in the keyring: the setting of this name, else the instance's name."""
        return str(self.values.get("credentials_key") or self.name)


class CheckRecord(msgspec.Struct, frozen=True):
    """The last connection check of an instance, and the settings it checked (`fingerprint`)."""

    at: float
    ok: bool
    fingerprint: str
    steps: tuple[CheckStep, ...] = ()
    """As reported, including messages of servers, but never a secret."""


class CredentialsRecord(msgspec.Struct, frozen=True):
    """A keyring entry with the names of its secret fields. `revision` changes whenever the entry does."""

    username: str = ""
    fields: tuple[str, ...] = ()
    revision: str = ""
    expires_at: float | None = None
    """Seconds since 1970, if the user or the service gave an expiry."""


class Configuration(msgspec.Struct, frozen=True, kw_only=True):
    """The configuration at one moment.

    With a `problem` it is read-only. If it is not `usable` either (the file is broken), `instances` has only the
    embedded `local`, which may not be used: the file may give it another location.
    """

    path: Path
    instances: dict[str, InstanceConfig]
    checks: dict[str, CheckRecord]
    credentials: dict[str, CredentialsRecord]
    store: StoreSettings = StoreSettings()
    default_provider: str = ""
    """As in the file, even if there is no such instance."""
    history_days: int = DEFAULT_HISTORY_DAYS
    """How long finished items stay in the journal. What proves a stored object is kept as long as the object."""
    only_local: bool = True
    """By the file, nothing but the embedded `local` was ever set up."""
    exists: bool = True
    """The file exists."""
    problem: ErrorInfo | None = None
    usable: bool = True

    def instance(self, name: str) -> InstanceConfig:
        """Raises InvalidConfiguration if there is none of that name, or the file is broken."""
        if self.problem and not self.usable:
            raise self.problem.error()
        found = self.instances.get(name)
        if found is None:
            known = ", ".join(self.instances)
            raise InvalidConfiguration(f"there is no instance {name!r}", field="name", hint=f"Instances: {known}.")
        return found


def looks_secret(key: str) -> bool:
    """Whether a setting of that name holds a secret, judged by the name alone."""
    return bool(_SECRET_NAME.search(key))


def fingerprint(configuration: Configuration, instance: InstanceConfig) -> str:
    """Changes with every setting that affects a check, and with the credentials. Contains no secret."""
    unchecked = settings.without(_settings_of(instance), "checked")
    plain = {
        key: value
        for key, value in instance.values.items()
        if key not in unchecked and not isinstance(value, Secret) and value not in (None, "")
    }
    key = instance.credentials_key
    revision = configuration.credentials[key].revision if key in configuration.credentials else ""
    text = json.dumps([instance.type, plain, key, revision], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _settings_of(instance: InstanceConfig) -> type[ProviderSettings]:
    """The standard ones if the service is not installed any more."""
    try:
        return registry.spec(instance.type).settings or ProviderSettings
    except InvalidConfiguration:
        return ProviderSettings


def load(paths: Paths) -> Configuration:
    """Read the file; a missing one is an empty configuration. Never raises: errors are in its `problem`."""
    document = config_text.read(paths.config_file)
    return _configuration(document, paths)


@contextmanager
def edit(paths: Paths) -> Iterator[ConfigDraft]:
    """Read, change and write the file as one step, exclusive among processes.

    Writes at the end of the block, unless nothing changed or the block raised. Not reentrant. Raises
    InvalidConfiguration and leaves the file alone if it is broken or of a newer version, Conflict if another process
    held it for 10 s.
    """
    with _disk_errors(paths):
        private_folder(paths.config_dir)
    with exclusive_lock(paths.config_lock, "the configuration"):
        document = config_text.read(paths.config_file)
        if document.problem:
            raise document.problem.error()
        before = config_text.write(document.tree)
        yield ConfigDraft(document.tree, paths)
        after = config_text.write(document.tree)
        if after != before:
            _remember_others(json.loads(before), document.tree)
            after = config_text.write(document.tree)
            with _disk_errors(paths):
                write_private(paths.config_file, after)


def _remember_others(before: dict[str, Any], tree: dict[str, Any]) -> None:
    """Record for good that something other than `local` was set up, even if it is being removed."""
    if not (_is_only_local(before) and _is_only_local(tree)):
        tree["local_fallback"] = False


def _is_only_local(tree: Mapping[str, Any]) -> bool:
    instances = tree.get("providers", {})
    return (
        tree.get("local_fallback") is not False
        and not set(instances) - {EMBEDDED}
        and not set(tree.get("credentials", {})) - {EMBEDDED}
        and instances.get(EMBEDDED, {}).get("type", EMBEDDED) == EMBEDDED
    )


@contextmanager
def _disk_errors(paths: Paths) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        message = f"{paths.config_file} cannot be written: {error.strerror}"
        raise InvalidConfiguration(message, hint="Check the rights of the folder, and its disk.") from error


class ConfigDraft:
    """The configuration inside `edit`: its own readers see changes at once, the disk has them after the block."""

    def __init__(self, tree: dict[str, Any], paths: Paths) -> None:
        self._tree = tree
        self._paths = paths

    @property
    def configuration(self) -> Configuration:
        return _configuration(ConfigDocument(path=self._paths.config_file, tree=self._tree), self._paths)

    def add(self, name: str, service: str) -> None:
        """Add an instance of `service`. Raises InvalidConfiguration if `name` is invalid, or taken by another
        service."""
        if not _NAME.fullmatch(name) or name == DEFAULT_PROVIDER:
            raise InvalidConfiguration(
                f"name: {name!r} cannot name an instance",
                field="name",
                hint="Use letters, digits, '.', '_' and '-', at most 64, beginning with a letter or digit.",
            )
        instances = self._section("providers")
        there = instances.get(name)
        if there is None:
            instances[name] = {} if service == name else {"type": service}
        elif there.get("type", name) != service:
            problem = f"name: {name!r} already exists, for {there.get('type', name)}"
            raise InvalidConfiguration(problem, field="name", hint="Choose another name.")

    def set(self, name: str, key: str, value: object) -> None:
        """Set one setting to JSON data. Creates a missing instance, of the service of that name."""
        if isinstance(value, Secret):
            raise TypeError(f"{key}: a Secret goes to the credential store, not into a file")
        json.dumps(value)
        if name not in self._section("providers"):
            self.add(name, name)
        self._section("providers")[name][key] = value

    def unset(self, name: str, key: str) -> None:
        """Reset a setting to its default."""
        self._section("providers").get(name, {}).pop(key, None)

    def plain_values(self, name: str) -> Mapping[str, Any]:
        """The instance exactly as in the file, secrets in clear text; only for moving them out."""
        found: Mapping[str, Any] = self._section("providers").get(name, {})
        return found

    def remove(self, name: str) -> bool:
        """Forget an instance and its check; the embedded `local` gets its defaults back. False if there was none."""
        self._section("checks").pop(name, None)
        return self._section("providers").pop(name, None) is not None

    def record_check(self, name: str, record: CheckRecord) -> None:
        self._section("checks")[name] = msgspec.to_builtins(record)

    def index_credentials(
        self, key: str, username: str, fields: tuple[str, ...], *, expires_at: float | None = None
    ) -> None:
        """Record that the store now holds an entry `key` with these secret fields."""
        record = {"username": username, "fields": sorted(fields), "revision": secrets.token_hex(8)}
        self._section("credentials")[key] = record | ({} if expires_at is None else {"expires_at": expires_at})

    def forget_credentials(self, key: str) -> bool:
        """Record that the keyring holds no entry `key`. False if none was recorded."""
        return self._section("credentials").pop(key, None) is not None

    def set_default_provider(self, name: str) -> None:
        """Set the instance that is used when none is named; '' for none. Raises InvalidConfiguration for an unknown
        one."""
        if name and name not in self.configuration.instances:
            known = ", ".join(self.configuration.instances)
            raise InvalidConfiguration(
                f"default_provider: there is no provider {name!r}",
                field="default_provider",
                hint=f"Providers: {known}.",
            )
        self._tree.pop("default_provider", None)
        if name:
            self._tree["default_provider"] = name

    def set_history_days(self, text: str) -> None:
        """Set how long finished transfers are kept; '' for the default. Raises InvalidConfiguration for an invalid
        number of days."""
        self._tree.pop(HISTORY_DAYS, None)
        if not text:
            return
        if not text.isascii() or not text.isdecimal() or not 1 <= int(text[:9]) <= MOST_HISTORY_DAYS or len(text) > 9:
            raise InvalidConfiguration(
                f"{HISTORY_DAYS}: {text!r} is not a number of days",
                field=HISTORY_DAYS,
                hint=f"Write a whole number from 1 to {MOST_HISTORY_DAYS}; '' means {DEFAULT_HISTORY_DAYS}.",
            )
        self._tree[HISTORY_DAYS] = int(text)

    def choose_store(self, backend: StoreBackend | None, *, left_in: StoreBackend | None = None) -> None:
        """Make `backend` the credential store; `left_in` still holds copies of the credentials."""
        self._set_store("backend", backend.value if backend else None)
        self._set_store("left_in", left_in.value if left_in else None)

    def open_store_with(self, *, key_file: str = "", password_command: Sequence[str] = ()) -> None:
        """Set what opens the vault when no user can type its passphrase; without arguments nothing does."""
        self._set_store("key_file", key_file or None)
        self._set_store("password_command", list(password_command) or None)

    def _set_store(self, key: str, value: object) -> None:
        section = self._section("credential_store")
        section.pop(key, None)
        if value is not None:
            section[key] = value

    def _section(self, name: str) -> dict[str, Any]:
        section: dict[str, Any] = self._tree.setdefault(name, {})
        return section


def _configuration(document: ConfigDocument, paths: Paths) -> Configuration:
    tree = document.tree
    instances = {
        name: InstanceConfig(name=name, type=values.get("type", name), values=_wrapped(values))
        for name, values in tree.get("providers", {}).items()
    }
    return Configuration(
        path=document.path,
        instances=_with_embedded(instances, paths),
        checks=msgspec.convert(tree.get("checks", {}), dict[str, CheckRecord]),
        credentials=msgspec.convert(tree.get("credentials", {}), dict[str, CredentialsRecord]),
        store=msgspec.convert(tree.get("credential_store", {}), StoreSettings),
        default_provider=tree.get(DEFAULT_PROVIDER) or "",
        history_days=min(max(1, tree.get(HISTORY_DAYS, DEFAULT_HISTORY_DAYS)), MOST_HISTORY_DAYS),
        only_local=_is_only_local(tree),
        exists=document.exists,
        problem=document.problem,
        usable=document.usable,
    )


def _wrapped(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: Secret(value) if isinstance(value, str) and value and _is_secret(key, value) else value
        for key, value in values.items()
        if key != "type"
    }


def _is_secret(key: str, value: str) -> bool:
    return looks_secret(key) or (key == "proxy" and holds_password(value))


def _with_embedded(instances: dict[str, InstanceConfig], paths: Paths) -> dict[str, InstanceConfig]:
    """`local` first. If not configured it is enabled, in the program's own data folder, which it may create."""
    local = instances.get(EMBEDDED) or InstanceConfig(name=EMBEDDED, type=EMBEDDED, values={})
    if local.type == EMBEDDED:
        defaults: dict[str, Any] = {"enabled": True}
        values = dict(local.values)
        if not values.get("container"):
            values["container"] = str(paths.local_storage)
            defaults["create_folder"] = True
        local = InstanceConfig(name=EMBEDDED, type=EMBEDDED, values={**defaults, **values})
    return {EMBEDDED: local, **{name: item for name, item in instances.items() if name != EMBEDDED}}
