"""The tools of the other tests."""

import pytest
from helpers import PATIENCE, Recorder, run_isolated, socket_pair


def test_recorder_compares_order() -> None:
    rec = Recorder()
    for item in "abcd":
        rec(item)
    rec.add("e")
    rec.check(["a", {"c", "b"}, "d", "e"])
    for wrong in (["a", "b"], ["b", "a", "c", "d", "e"], ["a", {"b", "x"}, "d", "e"], [*"abcde", "f"]):
        with pytest.raises(AssertionError):
            rec.check(wrong)


def test_isolated_script_sees_arguments_and_environment() -> None:
    done = run_isolated(
        """
        import os, sys
        import helpers
        print(sys.argv[1:], os.environ["COLOUR"])
        """,
        1,
        "two",
        env={"COLOUR": "red"},
    )
    assert done.stdout == "['1', 'two'] red\n"


def test_isolated_failure_shows_the_output() -> None:
    with pytest.raises(AssertionError, match=r"status 3(.|\n)*last words"):
        run_isolated("import sys; print('last words'); sys.exit(3)")
    assert run_isolated("import sys; sys.exit(3)", check=False).returncode == 3


def test_isolated_hang_shows_the_output() -> None:
    for limit in (1, 10):  # on a busy machine an interpreter takes a while to say anything
        with pytest.raises(AssertionError, match=f"still ran after {limit * PATIENCE} s") as caught:
            run_isolated("import time; print('so far'); time.sleep(600)", timeout=limit)
        if "so far" in str(caught.value):
            return
    pytest.fail(str(caught.value))


def test_isolated_crash_names_the_signal() -> None:
    with pytest.raises(AssertionError, match="signal SIGABRT"):
        run_isolated("import os, resource; resource.setrlimit(resource.RLIMIT_CORE, (0, 0)); os.abort()")


def test_socket_pair_is_connected() -> None:
    near, far = socket_pair()
    with near, far:
        near.sendall(b"x")
        assert far.recv(2) == b"x"
