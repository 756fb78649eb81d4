"""C++ exceptions: thrown and caught on both sides of switches, and never across one."""

import importlib.util
import signal
import sysconfig

import needed
import pytest
from helpers import run_isolated
from switch.building import ENGINE, HERE, python_flags, run

from corolib._switch import get_lanes, getcurrent, greenlet


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    compiler = needed.program("g++")
    folder = tmp_path_factory.mktemp("cpp")
    target = folder / f"exceptions_client{sysconfig.get_config_var('EXT_SUFFIX')}"
    run(
        *(compiler, "-shared", "-fPIC", "-std=c++17", "-g", "-O2", "-Wall", "-Wextra", "-Werror"),
        *("-Wno-missing-field-initializers", *python_flags(), f"-I{ENGINE}"),
        *(HERE / "exceptions_client.cpp", "-o", target),
    )
    return folder


@pytest.fixture(scope="module")
def client(folder):
    spec = importlib.util.spec_from_file_location("exceptions_client", next(folder.iterdir()))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("count", [1, 2, get_lanes() + 50])
def test_an_exception_is_caught_where_it_was_thrown(client, count):
    """Parked on the way to a throw, resumed, unwound; more of them than there are lanes."""
    main = getcurrent()
    children = [greenlet(client.beside) for _ in range(count)]
    for number, child in enumerate(children):
        child.switch(number * 100, main, 10)
    results = []
    while len(results) < count:
        for child in children:
            if not child.dead:
                result = child.switch()
                if child.dead:
                    results.append(result)
    assert results == [True] * count
    assert client.alive() == 0


def test_a_switch_in_a_catch_block(client):
    """The others throw and catch meanwhile, and are out of their catch blocks when it comes back."""
    main = getcurrent()
    child = greenlet(client.within)
    child.switch(1, main)
    other = greenlet(client.beside)
    other.switch(500, main, 3)
    while not other.dead:
        result = other.switch()
    assert result is True
    assert child.switch() == (1, 1)
    assert client.alive() == 0


def test_switches_in_catch_blocks_that_are_left_in_reverse_order(client):
    main = getcurrent()
    children = [greenlet(client.within) for _ in range(100)]
    for number, child in enumerate(children):
        child.switch(number, main)
    assert client.alive() == 100
    for number, child in reversed(list(enumerate(children))):
        assert child.switch() == (number, number)
    assert client.alive() == 0


@pytest.mark.xfail(reason="the C++ runtime keeps the exceptions being handled per thread, in one list")
def test_switches_in_catch_blocks_that_are_left_in_another_order(folder):
    done = run_isolated(
        f"""
        import sys
        sys.path.insert(0, {str(folder)!r})
        import exceptions_client
        from corolib._switch import getcurrent, greenlet
        main = getcurrent()
        first, second = greenlet(exceptions_client.within), greenlet(exceptions_client.within)
        first.switch(1, main)
        second.switch(2, main)
        print(first.switch()[1], second.switch()[1])
        """
    )
    assert done.stdout == "1 2\n"


def test_an_exception_through_frames_that_called_python(client):
    main = getcurrent()

    def callback():
        return main.switch("in the callback")

    children = [greenlet(client.across_python) for _ in range(3)]
    for child in children:
        assert child.switch(callback) == "in the callback"
    assert children[0].switch() == 21
    with pytest.raises(LookupError):
        children[1].throw(LookupError)
    assert children[2].switch() == 21
    assert client.alive() == 0


CRASH = """
    import resource, sys
    sys.path.insert(0, sys.argv[1])
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    import exceptions_client
    from corolib._switch import getcurrent, greenlet
    main = getcurrent()
"""


@pytest.mark.parametrize("how", ["from main", "under a try block", "nested", "beside a catch block"])
def test_an_exception_nobody_catches_ends_the_program_and_says_so(folder, how):
    """It must not look for a handler on the stack of whoever switched here."""
    script = {
        "from main": "greenlet(exceptions_client.unhandled).switch(5)",
        "under a try block": """child = greenlet(exceptions_client.unhandled)
    start = greenlet(lambda: child.switch(5))
    print(exceptions_client.under(start))""",
        "nested": "greenlet(lambda: greenlet(lambda: greenlet("
        "exceptions_client.unhandled).switch(5)).switch()).switch()",
        "beside a catch block": """greenlet(exceptions_client.within).switch(1, main)
    greenlet(exceptions_client.unhandled).switch(5)""",
    }[how]
    done = run_isolated(f"{CRASH}\n    {script}\n", folder, check=False)
    assert done.returncode == -signal.SIGABRT, done.stdout
    assert "terminate called after throwing an instance of" in done.stderr
    assert done.stdout == ""
