"""The configuration file: one JSON file in the guide's structure, with a version.

    {"version": 1,
     "providers":   {"<instance>": {"type": "<service>", "enabled": true, "container": ..., ...}},
     "checks":      {"<instance>": {"at": 1790000000.0, "ok": true, "fingerprint": "...", "steps": [...]}},
     "credentials": {"<credentials_key>": {"username": "...", "fields": ["password"], "revision": "..."}},
     "default_provider": "<instance>",
     "history_days": 90,
     "local_fallback": false,
     "credential_store": {"backend": "vault", "key_file": "/path", "password_command": ["pass", "show", "backup"]}}

`type` is by default the instance's name. `local_fallback` is false from the first time that anything besides
`local` was set up: a command then means the local disk only if it says so. `checks` and `credentials` are the program's
own notes; no secret is in them.
Keys that this version does not know are kept. Nothing here asks the keyring.
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
"""The settings of no instance; so no instance has these names."""
DEFAULT_HISTORY_DAYS: Final = 90
MOST_HISTORY_DAYS: Final = 36_500
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SECRET_NAME: Final = re.compile(
    r"password|passphrase|secret|token|^api_key$|^application_key$|^encryption_(key|salt)$"
)


class InstanceConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What the file says of one instance. `values` has no `type`, and its secrets are Secrets; keys may be unknown."""

    name: str
    type: str
    values: dict[str, Any]

    @property
    def credentials_key(self) -> str:
        """The entry in the keyring: the setting of that name, else the instance's own name."""
        return str(self.values.get("credentials_key") or self.name)


class CheckRecord(msgspec.Struct, frozen=True):
    """The last connection check of an instance, and of which settings (`fingerprint`)."""

    at: float
    ok: bool
    fingerprint: str
    steps: tuple[CheckStep, ...] = ()
    """As they were told; messages of servers among them, never a secret."""


class CredentialsRecord(msgspec.Struct, frozen=True):
    """That the keyring holds an entry, with which secret fields. `revision` changes whenever the entry does."""

    username: str = ""
    fields: tuple[str, ...] = ()
    revision: str = ""
    expires_at: float | None = None
    """Seconds since 1970, where the user or the service said so."""


class Configuration(msgspec.Struct, frozen=True, kw_only=True):
    """The configuration at one moment.

    With a `problem` it is read-only. If it is not `usable` either (the file is broken), `instances` holds only the
    embedded `local`, and none may be used: the file may well say that it lives elsewhere.
    """

    path: Path
    instances: dict[str, InstanceConfig]
    checks: dict[str, CheckRecord]
    credentials: dict[str, CredentialsRecord]
    store: StoreSettings = StoreSettings()
    default_provider: str = ""
    history_days: int = DEFAULT_HISTORY_DAYS
    """How long finished items stay in the journal. What proves stored objects stays for as long as they do."""
    """The setting; whether there is such an instance is not looked at."""
    only_local: bool = True
    """As far as the file says, nothing besides the embedded `local` was ever set up."""
    exists: bool = True
    """The file is there."""
    problem: ErrorInfo | None = None
    usable: bool = True

    def instance(self, name: str) -> InstanceConfig:
        """Raises InvalidConfiguration when there is none of that name, or the file is broken."""
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
    """Changes whenever a setting changes on which a check depends, or the credentials do. No secret goes into it."""
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
    """Read the file; none is an empty configuration. Never raises: what is wrong with it is the answer's `problem`."""
    document = config_text.read(paths.config_file)
    return _configuration(document, paths)


@contextmanager
def edit(paths: Paths) -> Iterator[ConfigDraft]:
    """Read, change and write the file as one step that no other process comes between.

    Written on leaving, unless nothing was changed or the block raised. Not reentrant. Raises InvalidConfiguration and
    leaves the file alone when it is broken or of a newer version, Conflict when another process held it for 10 s.
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
    """Note for good that something besides `local` was set up, also when it is removed now."""
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
    """The configuration inside `edit`: changes are seen at once by its own readers, on disk after the block."""

    def __init__(self, tree: dict[str, Any], paths: Paths) -> None:
        self._tree = tree
        self._paths = paths

    @property
    def configuration(self) -> Configuration:
        return _configuration(ConfigDocument(path=self._paths.config_file, tree=self._tree), self._paths)

    def add(self, name: str, service: str) -> None:
        """Have an instance of `service`. Raises InvalidConfiguration when `name` is no name, or taken by another."""
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
            problem = f"name: {name!r} is already there, for {there.get('type', name)}"
            raise InvalidConfiguration(problem, field="name", hint="Choose another name.")

    def set(self, name: str, key: str, value: object) -> None:
        """Set one setting to JSON data. An instance that is not there yet is made, of the service of that name."""
        if isinstance(value, Secret):
            raise TypeError(f"{key}: a Secret goes to the credential store, not into a file")
        json.dumps(value)
        if name not in self._section("providers"):
            self.add(name, name)
        self._section("providers")[name][key] = value

    def unset(self, name: str, key: str) -> None:
        """Have the default again."""
        self._section("providers").get(name, {}).pop(key, None)

    def plain_values(self, name: str) -> Mapping[str, Any]:
        """What the file says of an instance word for word, secrets in clear: for moving them out, and nothing else."""
        found: Mapping[str, Any] = self._section("providers").get(name, {})
        return found

    def remove(self, name: str) -> bool:
        """Forget an instance and its check; the embedded `local` has its defaults again. False when there was none."""
        self._section("checks").pop(name, None)
        return self._section("providers").pop(name, None) is not None

    def record_check(self, name: str, record: CheckRecord) -> None:
        self._section("checks")[name] = msgspec.to_builtins(record)

    def index_credentials(
        self, key: str, username: str, fields: tuple[str, ...], *, expires_at: float | None = None
    ) -> None:
        """Note that the store now holds an entry `key`, with these secret fields."""
        record = {"username": username, "fields": sorted(fields), "revision": secrets.token_hex(8)}
        self._section("credentials")[key] = record | ({} if expires_at is None else {"expires_at": expires_at})

    def forget_credentials(self, key: str) -> bool:
        """Note that the keyring holds no entry `key`. False when it was not noted."""
        return self._section("credentials").pop(key, None) is not None

    def set_default_provider(self, name: str) -> None:
        """The instance that is meant where none is named; '' for none. Raises InvalidConfiguration when there is none
        of that name."""
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
        """How long finished transfers are kept; '' for the default. Raises InvalidConfiguration for what is no number
        of days."""
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
        """Make `backend` the place where credentials are kept; `left_in` still holds copies of them."""
        self._set_store("backend", backend.value if backend else None)
        self._set_store("left_in", left_in.value if left_in else None)

    def open_store_with(self, *, key_file: str = "", password_command: Sequence[str] = ()) -> None:
        """What opens the vault where nobody is there to type its passphrase; without arguments nothing does."""
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
    """`local` first; without any configuration it is enabled, in the program's own data folder, which it may create."""
    local = instances.get(EMBEDDED) or InstanceConfig(name=EMBEDDED, type=EMBEDDED, values={})
    if local.type == EMBEDDED:
        defaults: dict[str, Any] = {"enabled": True}
        values = dict(local.values)
        if not values.get("container"):
            values["container"] = str(paths.local_storage)
            defaults["create_folder"] = True
        local = InstanceConfig(name=EMBEDDED, type=EMBEDDED, values={**defaults, **values})
    return {EMBEDDED: local, **{name: item for name, item in instances.items() if name != EMBEDDED}}
