"""BaseProvider: the name under which the guide and plug-ins know what a service offers."""

from __future__ import annotations

import functools
import inspect
from typing import Any, Self

from providers.contract.storage import RangeReader
from providers.guide import adapter
from providers.operations import Operations, ProgressCallback

__all__ = ["BaseProvider", "ProgressCallback", "RangeReader", "adapted"]


class BaseProvider(Operations):
    """One instance of a storage service: an adapter implements `Storage`, and has the guide's five `Operations`.

    A class in the guide's style may be called as the guide does, `NewProvider(config)`: the adapter is made.
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        if inspect.isabstract(cls) and adapter.is_guide_style(cls):
            return adapted(cls)(*args, **kwargs)  # type: ignore[return-value]
        return super().__new__(cls)


@functools.cache
def adapted(found: type, name: str = "") -> type[BaseProvider]:
    """A provider that does everything through the five methods of `found`, and keeps the contract of the five itself.

    `name` is the service's; without one the class's own, else its class name as the guide has it: `NewProvider` is
    'new'.
    """
    return type(found.__name__, (adapter.GuideStyle, BaseProvider), adapter.attributes_of(found, name))
