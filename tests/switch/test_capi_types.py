"""Types of C extensions on top of greenlets, and extensions that were built for another engine."""

import gc
import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
import weakref
from pathlib import Path

import needed
import pytest
from switch.building import ENGINE, HERE, build_extension, machine_switch

import corolib
from corolib._switch import GreenletExit, getcurrent, greenlet


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    target = tmp_path_factory.mktemp("types") / f"subclass_client{sysconfig.get_config_var('EXT_SUFFIX')}"
    build_extension(target, [HERE / "subclass_client.c"], ["-O2"])
    spec = importlib.util.spec_from_file_location("subclass_client", target)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(params=["Heap", "Static", "subclass of Heap", "subclass of Static"])
def kind(request, client):
    base = getattr(client, request.param.split()[-1])
    return type("Sub", (base,), {}) if request.param.startswith("subclass") else base


def test_a_type_of_an_extension_is_a_greenlet_with_more(kind):
    main = getcurrent()
    child = kind(lambda value: (main.switch(value), child.get_mark()))
    child.set_mark(5, "held")
    assert isinstance(child, greenlet)
    assert child.parent is main
    assert child.switch("in") == "in"
    assert child.get_mark() == (5, "held")
    child.set_mark(6, "later")
    assert child.switch("out") == ("out", (6, "later"))
    assert child.dead
    assert child.get_mark() == (6, "later")


def test_its_objects_come_and_go_without_remainder(kind):
    main = getcurrent()
    ended = []

    class Held:
        pass

    def run():
        try:
            main.switch()
        except GreenletExit:
            ended.append(getcurrent().get_mark()[0])
            raise

    def cycle(number):
        held = Held()
        child = kind(run)
        child.set_mark(number, held)
        child.switch()
        if number % 3 == 1:
            held.child = child  # a cycle through what the subclass holds
        if number % 3 == 2:
            child.switch()
        return weakref.ref(held)

    for number in range(20):
        cycle(number)
    gc.collect()
    gc.collect()
    ended.clear()
    before = sys.getrefcount(kind)
    alive = [cycle(number) for number in range(300)]
    gc.collect()  # ends what it finds,
    gc.collect()  # and frees what that leaves in cycles
    assert sorted(ended) == [number for number in range(300) if number % 3 != 2]
    assert [reference() for reference in alive] == [None] * 300
    assert sys.getrefcount(kind) == before


def test_it_can_be_resurrected_while_it_is_ended(kind):
    main = getcurrent()
    saved = []

    def run():
        try:
            main.switch()
        except GreenletExit:
            saved.append(getcurrent())
            main.switch()
        return "end"

    child = kind(run)
    child.set_mark(7, "held")
    child.switch()
    del child
    assert saved[0].get_mark() == (7, "held")
    assert saved.pop().switch() == "end"


def test_a_type_that_was_compiled_for_smaller_greenlets_makes_none(client):
    """As one is whose struct begins with the header's: that shows the head only."""
    if not hasattr(client, "Small"):
        pytest.skip("this CPython refuses the type itself")
    for _ in range(3):
        with pytest.raises(TypeError, match=r"Small.* has room for \d+ bytes, a greenlet needs \d+"):
            client.Small(len)
    assert greenlet(lambda: 5).switch() == 5


CHANGES = {
    "a later version": ("#define SWITCH_HUBAPI_VERSION ", "#define SWITCH_HUBAPI_VERSION 1000 + "),
    "a longer table": (
        "    size_t size;        /* sizeof(struct switch_hubapi) */",
        "    size_t size;\n    size_t more;",
    ),
    "another name": ("_engine._hub_api", "_engine._hub_api_2"),
}


@pytest.mark.slow
@pytest.mark.parametrize("change", CHANGES)
def test_an_extension_of_another_engine_is_refused_at_its_import(change, tmp_path):
    """The hub as it is built here, on an engine built from other sources."""
    needed.hub()
    source = tmp_path / "source"
    shutil.copytree(ENGINE, source)
    header = source / "hubapi.h"
    old, new = CHANGES[change]
    assert header.read_text().count(old) == 1
    header.write_text(header.read_text().replace(old, new))
    folder = tmp_path / "packages"
    shutil.copytree(
        Path(corolib.__file__).parent,
        folder / "corolib",
        ignore=shutil.ignore_patterns("_engine*.so", "__pycache__"),
    )
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    arch = source / "arch" / machine_switch().name
    build_extension(
        folder / "corolib" / "_switch" / f"_engine{suffix}", [*sorted(source.glob("*.c")), arch], ["-O1"]
    )
    script = """
import corolib._switch
assert corolib._switch.greenlet(lambda: 5).switch() == 5
try:
    import corolib._hub
except Exception as error:
    print(type(error).__name__, error)
"""
    environ = {**os.environ, "PYTHONPATH": str(folder)}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environ, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    expected = {
        "a later version": "ImportError corolib._switch and corolib._hub were built from different sources",
        "a longer table": "ImportError corolib._switch and corolib._hub were built from different sources",
        "another name": "ValueError PyCapsule_GetPointer called with incorrect name",
    }[change]
    assert done.stdout.startswith(expected), done.stdout
