"""Public is what __all__ says: it is there, it is documented, and the roof serves it lazily."""

import importlib
import inspect
from types import ModuleType

import pytest
from helpers import ROOT

import corolib

MODULES = [
    name
    for name in sorted(
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in (ROOT / "corolib").rglob("*.py")
    )
    if not name.endswith(("__main__", "._ev.build"))
]


@pytest.mark.parametrize("name", MODULES)
def test_every_public_name_is_there_and_documented(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__doc__, f"{name} does not say what it is for"
    public = getattr(module, "__all__", ())
    assert len(set(public)) == len(public), "a name twice"
    for attribute in public:
        value = getattr(module, attribute)
        ours = getattr(value, "__module__", None) or ""
        if (inspect.isroutine(value) or inspect.isclass(value)) and ours.startswith("corolib"):
            assert value.__doc__, f"{name}.{attribute} has no docstring"


@pytest.mark.parametrize("name", [name for name in MODULES if not name.split(".")[-1].startswith("_")])
def test_every_public_module_says_what_is_public(name: str) -> None:
    if "._" not in name:
        assert hasattr(importlib.import_module(name), "__all__")


def test_the_roof_serves_what_the_modules_define() -> None:
    hub = importlib.import_module("corolib.hub")
    greenlet = importlib.import_module("corolib.greenlet")
    assert corolib.sleep is hub.sleep
    assert corolib.Greenlet is greenlet.Greenlet
    assert corolib.spawn == greenlet.Greenlet.spawn


def test_the_roof_lists_its_names() -> None:
    assert set(corolib.__all__) <= set(dir(corolib))
    assert set(corolib._names) | {"__version__", "version_info"} == set(corolib.__all__)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'corolib' has no attribute 'no_such_name'"):
        corolib.no_such_name


def test_version_is_written_once() -> None:
    assert ".".join(map(str, corolib.version_info)) == corolib.__version__
    assert isinstance(corolib, ModuleType)


def test_only_the_aliases_spell_the_other_name() -> None:
    """Compatibility is a table in compat/, not a habit of the code."""
    for path in (ROOT / "corolib").rglob("*"):
        if (
            path.suffix in (".py", ".pyi", ".c", ".h", ".S")
            and "compat" not in path.parts
            and path.stem != "__main__"
        ):
            assert "gevent" not in path.read_text().lower(), path.relative_to(ROOT)
