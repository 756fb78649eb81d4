"""Every public name that gevent's users know is there, or is listed with the reason why not (parity.py)."""

import builtins
import importlib
from typing import Any

import pytest
from helpers import ROOT, run_isolated
from parity import INSTANCES, LEFT_OUT, MOVED, NOT_REPLACED, PUBLIC, REPLACED

DOCUMENT = ROOT / "docs" / "differences.md"


def owner_of(key: str) -> Any:
    module, _, name = key.partition(":")
    if key in INSTANCES:
        return INSTANCES[key]()
    found = importlib.import_module(module)
    return getattr(found, name) if name else found


def has(owner: Any, name: str) -> bool:
    try:
        getattr(owner, name)
    except AttributeError:
        return False
    return True


@pytest.mark.parametrize("key", PUBLIC)
def test_every_name_is_there(key: str) -> None:
    owner = owner_of(key)
    assert [name for name in PUBLIC[key].split() if not has(owner, name)] == []


def test_the_table_would_find_a_missing_name() -> None:
    """The test above is only as good as this."""
    import corolib.event

    assert has(corolib.event.Event(), "wait") and not has(corolib.event.Event(), "no_such_name")
    assert not has(corolib.event, "no_such_name")


@pytest.mark.parametrize(("key", "name"), LEFT_OUT)
def test_what_is_left_out_is_really_not_there(key: str, name: str) -> None:
    assert name not in PUBLIC[key].split(), "it is in both tables"
    assert not has(owner_of(key), name), "it is there now: move it to PUBLIC"


def test_what_is_left_out_is_told_to_users_with_the_reason() -> None:
    text = DOCUMENT.read_text()
    for (key, name), reason in LEFT_OUT.items():
        owner = key.replace("_config:", ".").replace(":", ".").removeprefix("corolib").strip(".")
        row = f"| `{owner + '.' if owner else ''}{name}` | {reason} |"
        assert row in text, f"{DOCUMENT.name} has no row: {row}"


@pytest.mark.parametrize(("there", "name"), MOVED)
def test_what_is_somewhere_else_is_there_and_told(there: str, name: str) -> None:
    path = MOVED[there, name]
    assert f"| `{there}` | {name} | `{path}` |" in DOCUMENT.read_text()
    module, _, attribute = path.rpartition(".")
    try:
        importlib.import_module(path)
    except ModuleNotFoundError:
        assert hasattr(importlib.import_module(module), attribute)


def test_public_names_do_not_hide_builtins_by_accident() -> None:
    """`from corolib.hub import *` in an old program must not change what its builtins mean."""
    for key in PUBLIC:
        if ":" in key:
            continue
        public = getattr(importlib.import_module(key), "__all__", ())
        assert not set(public) & set(dir(builtins)), key


def test_what_gevent_replaces_is_replaced_or_told_with_the_reason() -> None:
    run_isolated(
        """
        import importlib
        from parity import NOT_REPLACED, REPLACED
        from corolib import monkey
        modules = {name: importlib.import_module(name) for name in REPLACED}
        before = {(name, each) for name, module in modules.items() for each in vars(module)}
        monkey.patch_all()
        for module, names in REPLACED.items():
            for name in names.split():
                if (module, name) in before:  # each Python has a part of them
                    patched = monkey.is_object_patched(module, name)
                    assert patched != ((module, name) in NOT_REPLACED), (module, name)
                    assert hasattr(modules[module], name), f"{module}.{name} has been removed"
        """
    )
    document = (ROOT / "docs" / "patching.md").read_text()
    for (module, name), reason in NOT_REPLACED.items():
        assert name in REPLACED[module].split()
        assert f"| `{module}.{name}` | {reason} |" in document
