"""fork(), with thousands of greenlets parked in several threads; posix_spawn and subprocesses beside them."""

import pytest
from helpers import run_isolated
from switch.building import HERE

FORK = """
    import os, subprocess, sys, threading, warnings
    from corolib._switch import error, getcurrent, greenlet, stats
    warnings.simplefilter("ignore", DeprecationWarning)
    where = sys.argv[1]
    main = getcurrent()
    COUNT = 10_000

    def run(home):
        value = 0
        while True:
            got = home.switch(value)
            home = got if isinstance(got, greenlet) else home
            value += 1

    def park(count):
        made = [greenlet(run) for _ in range(count)]
        for child in made:
            child.switch(getcurrent())
        return made

    parked = {"main": park(COUNT // 3)}
    ready, told, done = threading.Semaphore(0), threading.Semaphore(0), threading.Semaphore(0)
    tasks = []

    def thread(name):
        parked[name] = park(COUNT // 3)
        ready.release()
        if name == "one":
            told.acquire()
            greenlet(tasks.pop()).switch()
            done.release()
        over.acquire()
        over.release()
        for child in parked[name]:
            assert child.switch(getcurrent()) == 1

    over = threading.Lock()
    over.acquire()
    threads = [threading.Thread(target=thread, args=(name,)) for name in ("one", "two")]
    for each in threads:
        each.start()
        ready.acquire()

    def child_process(mine):
        for name, children in parked.items():
            for child in children[::100]:
                assert child.dead == (name != mine), (name, child)
                if name != mine:
                    try:
                        child.switch()
                    except error:
                        pass
                    else:
                        raise AssertionError
        me = getcurrent()
        for child in parked[mine]:
            assert child.switch(me) == 1
        assert stats()["greenlets"] == COUNT // 3 + (me.parent is not None)
        new = park(100)
        for child in new:
            assert child.switch(me) == 1
        parked.clear()
        del new, children, child
        assert greenlet(lambda: 5).switch() == 5

    def fork(mine):
        pid = os.fork()
        if pid == 0:
            try:
                child_process(mine)
                os._exit(0)
            except BaseException:
                import traceback
                traceback.print_exc()
            finally:
                os._exit(1)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        assert status == 0, status

    def spawn():
        for _ in range(3):
            command = [sys.executable, "-S", "-c", "raise SystemExit(3)"]
            pid = os.posix_spawn(sys.executable, command, os.environ)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3
            assert subprocess.run(command).returncode == 3

    if where == "main":
        fork("main")
    elif where == "child":
        greenlet(fork).switch("main")
    elif where == "child of a thread":
        tasks.append(lambda: fork("one"))
        told.release()
        done.acquire()
    elif where == "spawn":
        spawn()
        greenlet(spawn).switch()
    if where != "child of a thread":
        tasks.append(lambda: None)
        told.release()
    # The parent has lost nobody.
    over.release()
    for each in threads:
        each.join()
    for child in parked["main"]:
        assert child.switch(getcurrent()) == 1
"""


@pytest.mark.parametrize("lanes", [1, 64])
@pytest.mark.parametrize("where", ["main", "child", "child of a thread", "spawn"])
def test_a_fork_with_ten_thousand_parked_in_three_threads(where, lanes):
    run_isolated(FORK, where, env={"COROLIB_LANES": str(lanes)})


@pytest.mark.parametrize(
    ("count", "first"),
    [
        (40, 1),
        *(
            pytest.param(200, first, marks=[pytest.mark.slow, pytest.mark.hang_after(400)])
            for first in (1000, 2000, 3000)
        ),
    ],
)
@pytest.mark.heavy
def test_a_storm_of_forks(count, first):
    done = run_isolated(HERE / "storms" / "forks.py", count, "--seed", first, timeout=300)
    assert f"{count} forks, seeds {first} to {first + count - 1}: 0 failures" in done.stdout


def test_a_fork_server_that_ends_its_children_as_programs_end():
    """Children that leave by the normal end of the interpreter, from a greenlet of their own."""
    done = run_isolated(
        """
        import atexit, os, sys
        from corolib._switch import getcurrent, greenlet
        main = getcurrent()
        parked = [greenlet(main.switch) for _ in range(500)]
        for child in parked:
            child.switch()
        atexit.register(lambda: print(f"exit handler, {sum(map(bool, parked))} parked", flush=True))

        def serve(number):
            pid = os.fork()
            if pid == 0:
                for child in parked[:number]:
                    child.parent = getcurrent()
                    child.switch()
                raise SystemExit(number)
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

        for number in range(1, 6):
            assert greenlet(serve).switch(number) == number
        """
    )
    assert done.stdout.splitlines() == [
        f"exit handler, {500 - number} parked" for number in [*range(1, 6), 0]
    ]
    assert done.stderr == ""
