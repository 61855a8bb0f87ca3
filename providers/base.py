"""BaseProvider, the public name that the guide and plug-ins import."""

from __future__ import annotations

import functools
import inspect
from typing import Any, Self

from providers.contract.storage import RangeReader
from providers.guide import adapter
from providers.operations import Operations, ProgressCallback

__all__ = ["BaseProvider", "ProgressCallback", "RangeReader", "adapted"]


class BaseProvider(Operations):
    """One provider: an adapter implements `Storage` and inherits the guide's five `Operations`.

    A class in the guide's style is constructed as in the guide, `NewProvider(config)`, and is wrapped in an adapter.
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        if inspect.isabstract(cls) and adapter.is_guide_style(cls):
            return adapted(cls)(*args, **kwargs)  # type: ignore[return-value]
        return super().__new__(cls)


@functools.cache
def adapted(found: type, name: str = "") -> type[BaseProvider]:
    """A provider that works through the five methods of `found` and keeps the contract of those five itself.

    `name` is the service name. Default: the `name` of the class, else derived from the class name as in the guide
    (`NewProvider` is 'new').
    """
    return type(found.__name__, (adapter.GuideStyle, BaseProvider), adapter.attributes_of(found, name))
