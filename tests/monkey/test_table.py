"""The table of what is patched, and what one can ask about it."""

import importlib
import inspect

import pytest
from helpers import run_isolated

from corolib import monkey


def test_the_table_is_in_the_order_that_it_asks_for() -> None:
    done: set[str] = set()
    for row in monkey.TABLE:
        assert set(row.after) <= done, f"{row.target} comes before what it needs"
        done.add(row.target)


@pytest.mark.parametrize("row", monkey.TABLE, ids=lambda row: f"{row.target}-{row.flag}")
def test_each_row_names_what_is_there(row) -> None:
    source = importlib.import_module(f"corolib.{row.source}")
    names = getattr(source, row.names) if isinstance(row.names, str) else row.names
    target = importlib.import_module(row.target)
    for name in names:
        assert hasattr(source, name), f"corolib.{row.source} has no {name}"
        assert hasattr(target, name), f"{row.target} has no {name}"
    assert callable(getattr(monkey, f"patch_{row.flag}"))
    assert row.flag in inspect.signature(monkey.patch_all).parameters


def test_all_names_that_a_module_stands_in_for_are_in_the_table() -> None:
    for source in {row.source for row in monkey.TABLE} - {"queue", "threading"}:
        module = importlib.import_module(f"corolib.{source}")
        patched: set[str] = set()
        for row in monkey.TABLE:
            if row.source == source:
                patched.update(getattr(module, row.names) if isinstance(row.names, str) else row.names)
        assert patched == set(module.__implements__)


def test_queries() -> None:
    run_isolated(
        """
        import time
        plain = time.sleep
        from corolib import monkey
        assert not monkey.is_anything_patched()
        assert not monkey.is_module_patched("time")
        assert monkey.get_original("time", "sleep") is plain
        monkey.patch_time()
        assert monkey.is_anything_patched()
        assert monkey.is_module_patched("time") and not monkey.is_module_patched("socket")
        assert monkey.is_object_patched("time", "sleep") and not monkey.is_object_patched("time", "time")
        assert not monkey.is_object_patched("no.such.module", "name")
        assert time.sleep is not plain
        assert monkey.get_original("time", "sleep") is plain is monkey.saved["time"]["sleep"]
        assert monkey.get_original("time", ["sleep", "time"]) == [plain, time.time]
        assert monkey.get_original(["socket", "time"], "sleep") is plain
        assert monkey.get_original(("os", "math"), "pi") > 3
        for missing in (lambda: monkey.get_original("time", "no_such"), ):
            try: missing()
            except AttributeError: pass
            else: raise AssertionError
        """
    )


def test_single_names_and_modules() -> None:
    run_isolated(
        """
        import sys, types
        from corolib import monkey
        target, source = types.ModuleType("target"), types.ModuleType("source")
        target.a, target.b, target.c = 1, 2, 3
        source.a, source.b, source.extra = 10, 20, 30
        source.__implements__ = ["a", "extra"]
        sys.modules.update(target=target, source=source)
        assert monkey.patch_module(target, source)
        assert (target.a, target.b) == (10, 2) and not hasattr(target, "extra")
        monkey.patch_module("target", "source", ["b"])
        monkey.patch_item(target, "b", 21)
        assert target.b == 21
        assert monkey.get_original("target", "b") == 2, "the first one counts"
        monkey.remove_item(target, "c")
        assert not hasattr(target, "c") and monkey.get_original("target", "c") == 3
        monkey.remove_item(target, "c")
        monkey.patch_item(target, "new", 1)
        assert target.new == 1
        del source.__implements__
        try: monkey.patch_module(target, source)
        except AttributeError as error: assert "source does not say" in str(error)
        else: raise AssertionError
        """
    )


def test_unknown_switches_are_refused_and_those_of_others_taken() -> None:
    with pytest.raises(TypeError, match="no switch 'nonsense'"):
        monkey.patch_all(nonsense=True)
    assert not monkey.is_anything_patched()
    run_isolated(
        """
        from corolib import monkey
        assert monkey.patch_all(os=True, ssl=False, subprocess=True, sys=False, aggressive=True, Event=True,
                                builtins=True, signal=True, contextvars=True, thread=False)
        assert not monkey.is_module_patched("threading")
        """
    )


def test_importing_monkey_brings_in_nothing_that_is_to_be_patched() -> None:
    run_isolated(
        """
        import sys
        before = set(sys.modules)
        from corolib import monkey
        new = set(sys.modules) - before
        assert not new & {"socket", "ssl", "threading", "logging", "subprocess", "queue", "selectors"}, new
        """
    )


def test_what_is_replaced_is_at_home_in_the_module_that_has_it() -> None:
    """Functions, classes, and the bound methods that stand in for functions in C."""
    run_isolated("""
        from corolib import monkey
        monkey.patch_all()
        import io, os, select, socket
        for module, name in (
            (io, "open"), (os, "read"), (select, "poll"), (select, "select"), (socket, "socket")
        ):
            assert getattr(module, name).__module__ == module.__name__, name
    """)


def test_what_was_imported_is_old_for_the_collector_when_it_goes_on() -> None:
    run_isolated(
        """
        import gc
        from corolib import monkey
        gc.collect()
        before = [each["collections"] for each in gc.get_stats()]
        monkey.patch_all()
        assert [each["collections"] for each in gc.get_stats()] == before
        assert gc.get_freeze_count() == 0
        """
    )


def test_what_somebody_has_frozen_stays_frozen() -> None:
    run_isolated(
        """
        import gc
        from corolib import monkey
        gc.freeze()
        frozen = gc.get_freeze_count()
        monkey.patch_all()
        assert gc.get_freeze_count() > frozen // 2  # some of them are replaced
        """
    )


@pytest.mark.parametrize("on", [True, False])
@pytest.mark.parametrize("refused", [True, False])
def test_the_collector_goes_on_as_before(on: bool, refused: bool) -> None:
    """It pauses while patch_all() works, also if that fails in the middle."""
    run_isolated(
        f"""
        import gc
        from corolib import monkey
        (gc.enable if {on} else gc.disable)()
        if {refused}:
            def refuse(): raise LookupError
            monkey.patch_queue = refuse
        try:
            monkey.patch_all()
        except LookupError:
            assert {refused}
        assert gc.isenabled() is {on}
        """
    )
