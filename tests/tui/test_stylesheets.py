"""Every class in a stylesheet exists: a renamed class would silently lose its style."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import textual.containers
import textual.widgets
from textual.css.model import SelectorType
from textual.css.parse import parse
from textual.dom import DOMNode

import screens
import tui

ROOT = Path(__file__).resolve().parents[2]


def classes() -> set[type[DOMNode]]:
    """All classes that a style may name, with all of ours loaded."""
    for package in (screens, tui):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    for name in ("Button", "Input", "OptionList", "SelectionList", "Select", "Toast"):  # loaded when they are asked for
        getattr(textual.widgets, name, None)
    found, left = set[type[DOMNode]](), [DOMNode]
    while left:
        cls = left.pop()
        found.add(cls)
        left += cls.__subclasses__()
    return found


def styles(known: set[type[DOMNode]]) -> Iterator[tuple[str, str]]:
    for file in (*ROOT.glob("screens/**/*.tcss"), *ROOT.glob("tui/**/*.tcss")):
        yield str(file.relative_to(ROOT)), file.read_text()
    for cls in known:
        if cls.__module__.partition(".")[0] in {"screens", "tui"} and "DEFAULT_CSS" in vars(cls):
            yield f"{cls.__module__}.{cls.__name__}", vars(cls)["DEFAULT_CSS"]


def test_every_class_in_a_stylesheet_exists() -> None:
    known = classes()
    names = {cls.__name__ for cls in known} | {part for cls in known for part in cls._css_type_names}
    unknown, seen = [], 0
    for where, text in styles(known):
        for rule in parse("", re.sub(r"\$[\w-]+", "red", text), (where, "")):
            for selectors in rule.selector_set:
                for selector in selectors.selectors:
                    if selector.type is SelectorType.TYPE:
                        seen += 1
                        unknown += [] if selector.name in names else [f"{where}: {selector.name}"]
    assert unknown == []
    assert seen > 100
