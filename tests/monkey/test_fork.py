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
        timeout=60,
    )
    assert done.stdout == "child's thread\nparent ends\n"
    assert done.stderr == ""


def test_threads_do_not_go_on_in_the_child() -> None:
    """Whatever they wait for, or about to start; not even their clean-up runs there. A plain greenlet goes
    on.
    """
    done = run_isolated(
        """
        from corolib import monkey
        monkey.patch_all()
        import os, queue, socket, sys, threading, time
        import corolib, corolib.event
        parent, ran, lock, items = os.getpid(), [], threading.Lock(), queue.Queue()
        def body(wait):
            try:
                wait()
            finally:
                ran.append(os.getpid())
        near, far = socket.socketpair()
        event, condition = threading.Event(), threading.Condition()
        lock.acquire()
        waits = (
            event.wait, lock.acquire, items.get, lambda: near.recv(1), lambda: time.sleep(0.01),
            lambda: time.sleep(0), lambda: items.put(items.get()),
            lambda: condition.acquire() and condition.wait(),
        )
        threads = [threading.Thread(target=body, args=(wait,)) for wait in waits]
        for each in threads: each.start()
        go = corolib.event.Event()
        corolib.spawn(body, go.wait)
        late = threading.Thread(target=body, args=(event.wait,))
        corolib.spawn_raw(late.start)
        corolib.sleep(0)  # it has been made, and has not begun
        items.put(1)      # somebody is handed this, but has not got it
        pid = os.fork()
        if pid == 0:
            go.set()
            event.set()
            lock.release()
            for _ in range(5): items.put(2)
            with condition: condition.notify_all()
            time.sleep(0.05)
            os.write(1, b"in the child: %d\\n" % ran.count(os.getpid()))
            assert items.qsize() == 6 and lock.acquire(False)
            sys.exit(3)
        assert os.waitpid(pid, 0) == (pid, 3 << 8)
        go.set(); event.set(); lock.release(); far.send(b"x"); items.put(2); items.put(3)
        with condition: condition.notify_all()
        for each in (*threads, late): each.join()
        time.sleep(0.02)
        print("in the parent:", len(ran), set(ran) == {parent})
        """,
        timeout=60,
    )
    assert (done.stdout, done.stderr) == ("in the child: 1\nin the parent: 10 True\n", "")


def test_the_child_of_a_thread_has_no_main_greenlet_and_ends_with_the_thread() -> None:
    done = run_isolated(
        """
        from corolib import monkey
        monkey.patch_all()
        import atexit, os, threading, time
        atexit.register(print, "at exit")
        def started():
            time.sleep(0.01)
            print("the child's own thread ends")
        def body():
            pid = os.fork()
            if pid == 0:
                threading.Thread(target=started).start()
                time.sleep(0.02)
                print("the thread that forked ends")
                raise SystemExit(5)
            print(os.waitpid(pid, 0) == (pid, 0), flush=True)
        thread = threading.Thread(target=body)
        thread.start()
        for _ in range(3):
            time.sleep(0.005)
        thread.join()
        print("main ends")
        """,
        timeout=60,
    )
    lines = ["the child's own thread ends", "the thread that forked ends", "True", "main ends", "at exit"]
    assert (done.stdout.splitlines(), done.stderr) == (lines, "")


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
        timeout=60,
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
        timeout=60,
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
        timeout=60,
    )
    assert (done.stdout, done.stderr) == ("True\n", "")
