"""What threading says in the child of a fork."""

from helpers import run_isolated


def test_the_child_has_one_thread_and_does_not_wait_for_the_others() -> None:
    done = run_isolated(
        """
        from corolib import monkey
        monkey.patch_all()
        import os, sys, threading, time
        go = threading.Event()
        lock = threading.Lock()
        threads = [threading.Thread(target=go.wait, daemon=daemon) for daemon in (False, True)]
        for each in threads: each.start()
        if os.fork() == 0:
            assert threading.enumerate() == [threading.main_thread()] == [threading.current_thread()]
            assert not any(each.is_alive() for each in threads)
            with lock:
                mine = threading.Thread(target=print, args=("child's thread",), kwargs={"flush": True})
                mine.start(); mine.join()
            sys.exit(3)
        _, status = os.wait()
        assert os.waitstatus_to_exitcode(status) == 3
        assert all(each.is_alive() for each in threads)
        go.set()
        for each in threads: each.join()
        print("parent ends")
        """,
        timeout=30,
    )
    assert done.stdout == "child's thread\nparent ends\n"
    assert done.stderr == ""


def test_a_thread_that_forks_is_the_main_thread_of_the_child() -> None:
    done = run_isolated(
        """
        from corolib import monkey
        monkey.patch_all()
        import os, sys, threading
        def body():
            me = threading.current_thread()
            if os.fork() == 0:
                ok = threading.main_thread() is threading.current_thread() is me
                ok = ok and threading.enumerate() == [me] and me.ident == threading.get_ident()
                os.write(1, b"child %d\\n" % ok)
                os._exit(0)
        thread = threading.Thread(target=body)
        thread.start(); thread.join()
        os.wait()
        assert threading.main_thread() is threading.current_thread() is not thread
        """,
        timeout=30,
    )
    assert (done.stdout, done.stderr) == ("child 1\n", "")


def test_the_end_of_the_child_does_not_wait_for_the_thread_that_forked() -> None:
    """It is the main one, whichever greenlet says that the process is to end."""
    done = run_isolated(
        """
        from corolib import monkey
        monkey.patch_all()
        import os, sys, threading, time
        import corolib
        def body():
            pid = os.fork()
            if pid == 0:
                corolib.spawn(sys.exit, 5)
                time.sleep(100)
            print(os.waitpid(pid, 0) == (pid, 5 << 8), flush=True)
        thread = threading.Thread(target=body)
        thread.start()
        thread.join()
        """,
        timeout=30,
    )
    assert (done.stdout, done.stderr) == ("True\n", "")


def test_a_greenlet_that_forks_is_the_main_thread_of_the_child() -> None:
    """Also one that `threading` has never heard of."""
    done = run_isolated(
        """
        from corolib import monkey
        monkey.patch_all()
        import os, sys, threading
        import corolib
        def body():
            pid = os.fork()
            if pid == 0:
                assert threading.main_thread() is threading.current_thread()
                assert threading.enumerate() == [threading.current_thread()]
                sys.exit(5)
            print(os.waitpid(pid, 0) == (pid, 5 << 8), flush=True)
        corolib.spawn(body).join()
        corolib.spawn(lambda: (threading.current_thread(), corolib.sleep(100)))
        corolib.sleep(0)
        """,
        timeout=30,
    )
    assert (done.stdout, done.stderr) == ("True\n", "")
