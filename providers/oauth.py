"""Browser authorisation of services, by service name.

for method in oauth.methods("dropbox"): ...          # the ways to authorise; empty if the service needs none
with oauth.open_flow("dropbox", values) as flow:
    step = flow.begin()                              # show step.address (text, link, QR), step.instructions
    grant = flow.finish(pasted)                      # or, if step.answer says so: flow.poll() until it returns one
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping
from typing import Any

from providers import registry
from providers.contract.authorization import AuthorizationFlow, Method
from providers.contract.context import ProviderContext
from providers.errors import InvalidConfiguration, Unsupported
from providers.remedies import Action, Remedy


def methods(service: str) -> tuple[Method, ...]:
    """The ways to authorise a service, preferred first. Empty if it is not authorised in a browser."""
    module = _module(service)
    found: tuple[Method, ...] = module.METHODS if module else ()
    return found


def open_flow(
    service: str, config: Mapping[str, Any], method: str = "", *, context: ProviderContext | None = None
) -> AuthorizationFlow:
    """An authorisation flow of `service` for the settings of an instance, including the secrets known so far.

    `method` is a name from `methods(service)`, empty for the first. Raises Unsupported, InvalidConfiguration.
    """
    module = _module(service)
    if module is None:
        raise Unsupported(f"{service} is not authorised in a browser", remedies=(Remedy(Action.SET_CREDENTIALS),))
    names = [item.name for item in module.METHODS]
    if method and method not in names:
        known = ", ".join(names)
        raise InvalidConfiguration(f"method: {service} has no {method!r}", field="method", hint=f"Available: {known}.")
    flow: AuthorizationFlow = module.open_flow(config, method or names[0], context=context or ProviderContext())
    return flow


def is_offered(service: str) -> bool:
    """Whether the service is authorised in a browser. Loads none of its code."""
    name = registry.package_of(service)
    return name is not None and importlib.util.find_spec(f"{name}.oauth") is not None


def _module(service: str) -> Any:
    return importlib.import_module(f"{registry.package_of(service)}.oauth") if is_offered(service) else None
