"""The standard configuration structure, with the metadata behind forms, CLI and README tables.

A service declares `class Settings(ProviderSettings)`, adds fields annotated with `setting(...)`, and lists in
`not_applicable` the standard fields that have no effect there. Those are hidden and refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, ClassVar, Final, Literal, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from providers.errors import InvalidConfiguration
from providers.secret import Secret
from providers.values_from_text import FieldKind as FieldKind
from providers.values_from_text import SettingField as SettingField
from providers.values_from_text import holds_password as holds_password
from providers.values_from_text import parse_text as parse_text
from providers.values_from_text import without_password


def setting(
    label: str,
    help: str,
    *,
    placeholder: str = "",
    unit: str = "",
    required: bool = False,
    advanced: bool = False,
    path: bool = False,
    place: bool = True,
    checked: bool = True,
    portable: bool = True,
    ge: float | None = None,
    le: float | None = None,
) -> msgspec.Meta:
    """Metadata of one field: label, help text, unit and limits.

    `advanced` fields are folded away in forms. `unit='bytes'` accepts sizes such as `64MiB`. A relative `path` is made
    absolute when typed, because other processes run in other folders.

    `place`: determines where objects are stored, so queued work waits if it changes. False for settings about how, or
    as whom: keys are rotated and regions corrected while items wait. `checked`: a connection check depends on it, so a
    change requires a new one. `portable`: belongs on the recovery kit, because it is valid on other machines too. A
    service that redeclares a field of its base class keeps the flags that are off there.
    """
    extra = {
        "label": label,
        "help": help,
        "placeholder": placeholder,
        "unit": unit,
        "required": required,
        "advanced": advanced,
        "path": path,
        "place": place,
        "checked": checked,
        "portable": portable,
    }
    return msgspec.Meta(ge=ge, le=le, extra=extra)


class ProviderSettings(msgspec.Struct, kw_only=True, frozen=True):
    """The guide's standard structure. Durations in seconds, sizes in bytes, rates in bytes per second."""

    title: ClassVar[str] = ""
    """Display name of the service: 'AWS S3'. The first line of the class docstring is its summary."""
    container_word: ClassVar[str] = "container"
    not_applicable: ClassVar[frozenset[str]] = frozenset()
    """Standard fields that have no effect for this service."""
    credential_pair: ClassVar[tuple[str, str] | None] = None
    """The service's own names for username and password."""
    requires: ClassVar[tuple[str, ...]] = ()
    """Top-level modules of its SDK. The service is offered if they can be found; they are not imported."""
    price_classes: ClassVar[Mapping[str, str]] = {}
    """Price class of each counted kind of request, where the price list of the service does not use the kinds
    themselves."""

    enabled: Annotated[
        bool,
        setting(
            "Enabled",
            "Used for transfers. Enabled once a check has passed.",
            place=False,
            checked=False,
            portable=False,
            advanced=True,
        ),
    ] = False
    credentials_key: Annotated[
        str,
        setting(
            "Credentials key",
            "Name of the keyring entry; empty for the instance's name.",
            place=False,
            portable=False,
            advanced=True,
        ),
    ] = ""
    container: Annotated[
        str, setting("Container", "Where the objects are stored.", placeholder="homeserver-backups")
    ] = ""
    container_type: Annotated[
        str, setting("Container type", "The service's word for it.", place=False, advanced=True)
    ] = "bucket"
    username: Annotated[str, setting("Username", "Account name or key id.", place=False)] = ""
    password: Annotated[Secret | None, setting("Password", "The secret for that username.")] = None
    api_key: Annotated[Secret | None, setting("API key", "Key for the service's API.")] = None
    secret_key: Annotated[Secret | None, setting("Secret key", "The secret half of the API key.")] = None
    region: Annotated[str, setting("Region", "Region of the container.", place=False)] = ""
    max_retries: Annotated[
        int,
        setting(
            "Retries",
            "How many times a failed request is retried.",
            place=False,
            checked=False,
            advanced=True,
            ge=0,
            le=20,
        ),
    ] = 3
    retry_delay: Annotated[
        float,
        setting(
            "Retry delay",
            "Longest wait before the first retry; doubles each time.",
            place=False,
            checked=False,
            unit="s",
            advanced=True,
            ge=0,
            le=300,
        ),
    ] = 1.0
    timeout: Annotated[
        float,
        setting(
            "Timeout",
            "Give up after this long without a byte moving.",
            place=False,
            checked=False,
            unit="s",
            advanced=True,
            ge=1,
            le=3600,
        ),
    ] = 300
    max_bandwidth: Annotated[
        Annotated[int, msgspec.Meta(ge=1024)] | None,
        setting(
            "Bandwidth limit",
            "Upload and download together; empty for no limit.",
            place=False,
            checked=False,
            unit="bytes/s",
            advanced=True,
        ),
    ] = None
    upload_chunk_size: Annotated[
        int,
        setting(
            "Part size",
            "Size of one part of a large upload.",
            place=False,
            checked=False,
            unit="bytes",
            advanced=True,
            ge=65536,
            le=5 * 2**30,
        ),
    ] = 104857600
    encryption_enabled: Annotated[bool, setting("Encryption", "Encrypt before upload.", place=False, advanced=True)] = (
        False
    )
    encryption_key: Annotated[Secret | None, setting("Encryption key", "Encryption passphrase.", advanced=True)] = None
    encryption_salt: Annotated[Secret | None, setting("Encryption salt", "Second passphrase.", advanced=True)] = None
    connection_pool_size: Annotated[
        int,
        setting(
            "Connections", "Number of concurrent requests.", place=False, checked=False, advanced=True, ge=1, le=64
        ),
    ] = 5


S = TypeVar("S", bound=ProviderSettings)

STANDARD_FIELDS: Final = tuple(ProviderSettings.__struct_fields__)
_GUIDE_REGION: Final = "us-east-1"
"""The guide's default region for every service. Here the default is empty, and each service knows its own."""


@cache
def describe(cls: type[ProviderSettings]) -> tuple[SettingField, ...]:
    """The fields that apply to a service, in order: standard ones (with the service's own credential pair in place of
    username and password), then its own."""
    hints = get_type_hints(cls, include_extras=True)
    defaults = {field.name: field.default for field in msgspec.structs.fields(cls)}
    return tuple(
        _describe_field(name, hints[name], defaults[name]) for name in _order(cls) if name not in cls.not_applicable
    )


def _order(cls: type[ProviderSettings]) -> list[str]:
    pair = cls.credential_pair or ()
    names = [name for name in STANDARD_FIELDS if name not in pair]
    names[names.index("username") if "username" in names else 0 : 0] = pair
    return [*names, *(name for name in cls.__struct_fields__ if name not in names)]


def _describe_field(name: str, hint: Any, default: Any) -> SettingField:
    meta: dict[str, Any] = {}
    limits: dict[str, float | None] = {"ge": None, "le": None}
    optional = False
    choices: tuple[str, ...] = ()
    plain: Any = hint
    while True:
        if get_origin(plain) is Annotated:
            for item in plain.__metadata__:
                meta |= item.extra or {}
                limits |= {end: getattr(item, end) for end in limits if getattr(item, end) is not None}
            plain = plain.__origin__
        elif type(None) in get_args(plain):
            optional = True
            plain = next(arg for arg in get_args(plain) if arg is not type(None))
        else:
            break
    if get_origin(plain) is Literal:
        choices = get_args(plain)
        kind = FieldKind.CHOICE
    elif meta.get("unit", "").startswith("bytes"):
        kind = FieldKind.BYTES
    else:
        kind = {
            bool: FieldKind.BOOLEAN, int: FieldKind.INTEGER, float: FieldKind.NUMBER, Secret: FieldKind.SECRET
        }.get(plain, FieldKind.TEXT)  # fmt: skip
    return SettingField(
        name=name, kind=kind, label=meta.get("label", name), help=meta.get("help", ""),
        placeholder=meta.get("placeholder", ""), unit=meta.get("unit", ""), required=meta.get("required", False),
        advanced=meta.get("advanced", False), optional=optional, default=default, path=meta.get("path", False),
        choices=choices,
        minimum=limits["ge"], maximum=limits["le"],
    )  # fmt: skip


@cache
def without(cls: type[ProviderSettings], flag: Literal["place", "checked", "portable"]) -> frozenset[str]:
    """Names of the fields whose `flag` is off (see `setting`), whether they apply to the service or not."""
    found: set[str] = set()
    for base in (each for each in cls.__mro__ if issubclass(each, ProviderSettings)):
        for name, hint in get_type_hints(base, include_extras=True).items():
            extras = (item.extra or {} for item in getattr(hint, "__metadata__", ()))
            found |= {name for extra in extras if not extra.get(flag, True)}
    return frozenset(found)


def field(cls: type[ProviderSettings], name: str) -> SettingField:
    """One setting by name. Raises InvalidConfiguration if the service has none of that name, or if it has no effect."""
    for found in describe(cls):
        if found.name == name:
            return found
    if name in cls.not_applicable:
        raise InvalidConfiguration(f"{name}: has no effect for this service", field=name, hint="Leave it out.")
    known = ", ".join(item.name for item in describe(cls))
    raise InvalidConfiguration(f"{name}: no such setting", field=name, hint=f"Settings of this service: {known}.")


def parse(cls: type[ProviderSettings], name: str, text: str) -> Any:
    """Convert typed text to the value of setting `name`, checked against its type and limits.

    Raises InvalidConfiguration naming the field and the problem; never repeats the text of a secret.
    """
    return check(cls, name, parse_text(field(cls, name), text))


def check(cls: type[ProviderSettings], name: str, value: Any) -> Any:
    """Check a typed value and return it converted. Raises InvalidConfiguration."""
    hint = get_type_hints(cls, include_extras=True)[field(cls, name).name]
    value = without_password(name, value)
    try:
        return msgspec.convert(value, hint, dec_hook=_decode)
    except msgspec.ValidationError as error:
        problem = str(error).split(" - at ")[0]
        raise InvalidConfiguration(f"{name}: {_plain(problem)}", field=name) from None


def _plain(problem: str) -> str:
    return problem.replace("`", "").replace("Expected", "expected").replace("null", "nothing")


def _decode(kind: type, value: object) -> object:
    if kind is Secret:
        if isinstance(value, Secret):
            return value
        if isinstance(value, str):
            return Secret(value)
    raise ValueError(f"expected {kind.__name__}")


def load(cls: type[S], values: Mapping[str, Any]) -> S:
    """Settings from a mapping; username and password are mapped to the service's own pair.

    Unknown keys are ignored (they stay in the file). An inapplicable key is ignored if it has the standard default, so
    that the guide's whole structure can be pasted. Raises InvalidConfiguration naming the first bad field.
    """
    names = {item.name for item in describe(cls)}
    mapped = dict(values)
    if cls.credential_pair:
        for common, own in zip(("username", "password"), cls.credential_pair, strict=True):
            if mapped.get(common) and not mapped.get(own):
                mapped[own] = mapped[common]
    standard = {item.name: item.default for item in msgspec.structs.fields(ProviderSettings)}
    standard["region"] = _GUIDE_REGION
    for name in sorted(cls.not_applicable & mapped.keys()):
        own_half = cls.credential_pair and name in {"username", "password"}
        empty = mapped[name] in ("", None) or mapped[name] == standard.get(name)
        if not empty and not own_half:
            raise InvalidConfiguration(f"{name}: has no effect for this service", field=name, hint="Remove it.")
    checked = {
        name: check(cls, name, None if name in _secrets(cls) and value == "" else value)
        for name, value in mapped.items()
        if name in names
    }
    return cls(**checked)


def _secrets(cls: type[ProviderSettings]) -> frozenset[str]:
    return frozenset(item.name for item in describe(cls) if item.secret)


def missing(cls: type[ProviderSettings], settings: ProviderSettings) -> tuple[str, ...]:
    """Names of required settings that are empty."""
    return tuple(item.name for item in describe(cls) if item.required and not getattr(settings, item.name))
