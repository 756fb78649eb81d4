"""One tree per thread: what crosses threads, what happens when they end, forks."""

import gc
import sysconfig
import threading
import weakref
from textwrap import dedent

import pytest
from helpers import EMULATED, Recorder, run_isolated
from switch.building import build_extension

from corolib._switch import GreenletExit, error, getcurrent, greenlet, stats


def in_thread(function, *args):
    """Run it in a new thread and return the result."""
    result = []
    thread = threading.Thread(target=lambda: result.append(function(*args)))
    thread.start()
    thread.join()
    return result[0]


class Other:
    """A thread that does what it is told, one thing at a time."""

    def __init__(self):
        self.task = self.result = None
        self.told, self.done = threading.Semaphore(0), threading.Semaphore(0)
        self.thread = threading.Thread(target=self.loop)
        self.thread.start()

    def loop(self):
        while True:
            self.told.acquire()
            if self.task is None:
                return
            self.result = self.task()
            self.task = None
            self.done.release()

    def do(self, task):
        self.task = task
        self.told.release()
        self.done.acquire()
        result, self.result = self.result, None
        return result

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.task = None
        self.told.release()
        self.thread.join()


def test_each_thread_has_a_main_greenlet_of_its_own():
    mine = getcurrent()
    with Other() as other:
        its = other.do(getcurrent)
        assert its is not mine
        assert other.do(getcurrent) is its
        assert its.parent is None
        assert repr(its).endswith(" suspended active started main>")
        assert other.do(lambda: repr(its)).endswith(" current active started main>")
    assert its.dead
    assert repr(its).endswith("(thread exited) dead>")


@pytest.mark.parametrize("act", [lambda g: g.switch(), lambda g: g.throw(ValueError)])
def test_a_greenlet_of_another_thread_is_refused(act):
    with Other() as other:
        child = other.do(lambda: greenlet(getcurrent().switch))
        other.do(child.switch)
        with pytest.raises(error, match=r"Cannot switch to a different thread\n.*Current: .*\n.*Expected: "):
            act(child)
        assert not child.dead
        with pytest.raises(error, match="Cannot switch to a different thread"):
            act(other.do(getcurrent))
        other.do(child.switch)
        assert child.dead


def test_a_fresh_greenlet_belongs_to_the_thread_of_its_parent():
    with Other() as other:
        child = other.do(lambda: greenlet(lambda: "ran"))
        with pytest.raises(error, match="Cannot switch to a different thread"):
            child.switch()
        assert other.do(child.switch) == "ran"
        adopted = other.do(lambda: greenlet(lambda: "ran"))
        adopted.parent = getcurrent()
        assert adopted.switch() == "ran"


def test_an_end_below_a_long_chain_of_another_thread_comes_home():
    """Each of them refuses the result; the main greenlet of the thread gets the error of the last one."""
    main = getcurrent()
    known, done = threading.Event(), threading.Event()
    chain = []

    def other():
        chain.append(greenlet(None))
        for _ in range(300):
            chain.append(greenlet(None, chain[-1]))
        known.set()
        done.wait()

    thread = threading.Thread(target=other)
    thread.start()
    known.wait()
    parent = greenlet(None)
    child = greenlet(lambda: main.switch("parked"), parent)
    assert child.switch() == "parked"
    parent.parent = chain[-1]
    with pytest.raises(error):
        child.switch()
    assert child.dead
    done.set()
    thread.join()


# See "Greenlets and threads" in the engine's README.
def test_after_the_end_of_the_thread():
    record = Recorder()

    def run():
        try:
            getcurrent().parent.switch()
        except GreenletExit:
            record("exit")
            raise
        finally:
            record("finally")

    def thread():
        suspended, fresh, finished = greenlet(run), greenlet(len), greenlet(lambda: None)
        suspended.switch()
        finished.switch()
        return suspended, fresh, finished, getcurrent()

    suspended, fresh, finished, main = in_thread(thread)
    assert [g.dead for g in (suspended, fresh, finished, main)] == [True, False, True, True]
    for child in (suspended, fresh, finished, main):
        with pytest.raises(error, match="which happens to have exited"):
            child.switch()
        with pytest.raises(error, match="which happens to have exited"):
            child.throw(ValueError)
    # It can be looked at, but not ended: its clean-up code belongs to a thread that does not exist.
    assert suspended.gr_frame.f_code.co_name == "run"
    assert suspended.gr_frame.f_back is None
    del suspended
    gc.collect()
    record.check([])


@pytest.mark.leaky(True, reason="a frame that others hold outlives its dead thread")
def test_frames_of_a_dead_thread_outlive_their_greenlet():
    def thread():
        main = getcurrent()

        def inner(number):
            local = "value"
            main.switch(local)

        def run():
            sorted([1], key=inner)

        child = greenlet(run)
        child.switch()
        return child, child.gr_frame

    child, frame = in_thread(thread)
    del child
    gc.collect()
    for _ in range(200):  # something else takes whatever memory was freed
        in_thread(lambda: greenlet(lambda: None).switch())
    assert frame.f_locals["local"] == "value"
    assert [frame.f_code.co_name, frame.f_back.f_code.co_name] == ["inner", "run"]
    assert frame.f_back.f_back is None


@pytest.mark.leaky(True, reason="a frame that others hold outlives its dead thread")
def test_a_generator_that_ran_when_its_thread_ended():
    def thread():
        main = getcurrent()

        def numbers():
            main.switch()
            yield 1

        generator = numbers()
        child = greenlet(lambda: list(generator))
        child.switch()
        return child, generator

    child, generator = in_thread(thread)
    del child
    gc.collect()
    in_thread(thread)
    assert generator.gi_running
    assert generator.gi_frame.f_back is None
    with pytest.raises(ValueError, match="already executing"):
        next(generator)


def test_dropped_by_another_thread_it_ends_in_its_own():
    record = Recorder()

    def run():
        try:
            getcurrent().parent.switch()
        finally:
            record(threading.get_ident())

    with Other() as other:
        ident = other.do(threading.get_ident)
        holder = [other.do(lambda: greenlet(run))]
        other.do(holder[0].switch)
        reference = weakref.ref(holder[0])
        holder.clear()
        record.check([])
        assert other.do(stats)["greenlets_doomed"] == 1
        other.do(getcurrent)
        record.check([ident])
        assert reference() is None
        assert other.do(stats)["greenlets_doomed"] == 0

        # Any switch of the owner will do as well.
        holder = [other.do(lambda: greenlet(run)), other.do(lambda: greenlet(run))]
        other.do(holder[0].switch)
        other.do(holder[1].switch)
        holder.clear()
        other.do(greenlet(len).__class__(lambda: None, other.do(getcurrent)).switch)
        record.check([ident] * 3)

        # And the end of the owner, if it never switches again.
        holder = [other.do(lambda: greenlet(run))]
        other.do(holder[0].switch)
        holder.clear()
    record.check([ident] * 4)


def test_a_finalizer_runs_once_though_the_owner_ends_what_another_thread_has_dropped():
    record = Recorder()

    class Subclass(greenlet):
        def __del__(self):
            record("finalizer")

    def run():
        try:
            main.switch()
        finally:
            record("end")

    main = getcurrent()
    child = Subclass(run)
    child.switch()
    dropped = [child]
    del child
    thread = threading.Thread(target=dropped.clear)
    thread.start()
    thread.join()
    getcurrent()
    record.check(["finalizer", "end"])


def test_dropped_after_the_end_of_its_thread():
    child = in_thread(lambda: (lambda g: (g.switch(), g)[1])(greenlet(getcurrent().switch)))
    assert child.dead
    reference = weakref.ref(child)
    del child
    assert reference() is None


@pytest.mark.heavy
@pytest.mark.skipif(EMULATED, reason="the emulator keeps memory for each thread")
def test_threads_in_great_number_leave_nothing():
    run_isolated(
        """
        import gc, threading
        from corolib._switch import getcurrent, greenlet

        def size():
            with open("/proc/self/statm") as file:
                return int(file.read().split()[1]) * 4096

        def run():
            getcurrent().parent.switch()

        kept = []
        def thread():
            children = [greenlet(run) for _ in range(10)]
            for child in children:
                child.switch()
            kept.append(children)

        def wave():
            for _ in range(30):
                threads = [threading.Thread(target=thread) for _ in range(10)]
                for each in threads: each.start()
                for each in threads: each.join()
                kept.clear()

        wave()
        before = size()
        for _ in range(9):
            wave()
        gc.collect()
        left = sum(isinstance(o, greenlet) for o in gc.get_objects())
        # Each parked frame leaks what it refers to: here the main greenlet of its thread, 250 bytes.
        assert size() - before < 2 << 20, (size() - before, left)
        """
    )


def test_many_threads_switch_at_the_same_time():
    def work():
        main = getcurrent()
        total = 0

        def run(number):
            for turn in range(40):
                assert main.switch(number) == turn
            return number

        children = [greenlet(run) for _ in range(50)]
        for number, child in enumerate(children):
            total += child.switch(number)
        for turn in range(40):
            total += sum(child.switch(turn) for child in children)
        assert all(child.dead for child in children)
        return total

    results = []
    threads = [threading.Thread(target=lambda: results.append(work())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [sum(range(50)) * 41] * 8


def test_system_exit_in_a_greenlet_reaches_the_main_greenlet_of_its_thread():
    def run():
        raise SystemExit

    record = Recorder()

    def thread():
        try:
            greenlet(run).switch()
        except SystemExit:
            record("main greenlet of the thread")

    each = threading.Thread(target=thread)
    each.start()
    each.join()
    record.check(["main greenlet of the thread"])


def test_daemon_threads_at_the_end_of_the_program():
    done = run_isolated(
        """
        import threading, time
        from corolib._switch import getcurrent, greenlet
        started = threading.Semaphore(0)

        def run():
            child = greenlet(getcurrent().switch)
            child.switch()
            started.release()
            time.sleep(100)

        def thread():
            greenlet(run).switch()
            greenlet(run).switch()

        for _ in range(5):
            threading.Thread(target=thread, daemon=True).start()
        for _ in range(5):
            started.acquire()
        print("end")
        """
    )
    assert (done.stdout, done.stderr) == ("end\n", "")


FORK = """
    import os, sys, threading
    from corolib._switch import error, getcurrent, greenlet
    main = getcurrent()
    lock = threading.Lock(); lock.acquire()
    foreign = []

    def other():
        child = greenlet(getcurrent().switch)
        child.switch()
        foreign.append(child)
        ready.release()
        lock.acquire()
        child.switch()

    ready = threading.Semaphore(0)
    thread = threading.Thread(target=other)
    thread.start()
    ready.acquire()
    parked = [greenlet(main.switch) for _ in range(300)]
    for child in parked:
        child.switch()

    def child_process():
        assert foreign[0].dead
        try:
            foreign[0].switch()
        except error:
            pass
        for number, child in enumerate(parked):
            child.parent = getcurrent()
            assert child.switch(number) == number
        assert greenlet(lambda: 5).switch() == 5

    def forks():
        pid = os.fork()
        if pid == 0:
            try:
                child_process()
                os._exit(0)
            except BaseException:
                import traceback
                traceback.print_exc()
            finally:
                os._exit(1)
        assert os.waitpid(pid, 0)[1] == 0

    forks()
    # From a greenlet: there the child goes on on a lane.
    greenlet(forks).switch()
    assert not foreign[0].dead
    lock.release()
    thread.join()
    for number, child in enumerate(parked):
        assert child.switch(number) == number
    """


@pytest.mark.parametrize("lanes", [1, 2, 64])
def test_a_fork_leaves_both_sides_working(lanes):
    run_isolated(FORK, env={"COROLIB_LANES": str(lanes)}, options=["-W", "ignore"])


def test_a_thread_attached_by_c_comes_and_goes():
    """Each PyGILState_Ensure in a foreign thread makes and ends a thread state."""
    import ctypes

    seen = []

    @ctypes.CFUNCTYPE(None)
    def callback():
        child = greenlet(getcurrent().switch)
        child.switch()
        seen.append((getcurrent(), child))

    libc = ctypes.CDLL(None)
    for _ in range(20):
        thread = ctypes.c_ulong()
        assert libc.pthread_create(ctypes.byref(thread), None, callback, None) == 0
        libc.pthread_join(thread, None)
    assert len({id(main) for main, _ in seen}) == 20
    assert all(main.dead and child.dead for main, child in seen)


def test_the_process_id_is_not_cached():
    # os.register_at_fork handlers of others may switch.
    run_isolated(
        """
        import os
        from corolib._switch import getcurrent, greenlet
        main = getcurrent()
        children = [greenlet(main.switch) for _ in range(3)]
        for child in children: child.switch()
        os.register_at_fork(before=children[0].switch, after_in_parent=children[1].switch,
                            after_in_child=children[2].switch)
        pid = os.fork()
        if pid == 0:
            os._exit(0 if [c.dead for c in children] == [True, False, True] else 1)
        assert os.waitpid(pid, 0)[1] == 0
        assert [c.dead for c in children] == [True, True, False]
        """
    )


WALK = """
    import gc, sys, threading, traceback
    from corolib._switch import getcurrent, greenlet

    main = getcurrent()
    over = False
    walks = 0

    def watch():
        global walks
        while not over:
            for each in gc.get_objects():
                if isinstance(each, greenlet):
                    frame = each.gr_frame
                    if frame is not None:
                        traceback.format_stack(frame)
                        walks += 1

    def deep(levels):
        if levels:
            return deep(levels - 1)
        for _ in range(3):
            sorted([1], key=lambda _: main.switch())

    sys.setswitchinterval(1e-5)
    thread = threading.Thread(target=watch)
    thread.start()
    rounds = 0
    while rounds < 200 or walks < 2000:
        children = [greenlet(deep) for _ in range(20)]
        for level, child in enumerate(children):
            child.switch(level)
        for _ in range(3):
            for child in children:
                child.switch()
        assert all(child.dead for child in children)
        rounds += 1
    over = True
    thread.join()
"""


@pytest.mark.parametrize("lanes", [1, 2, 64])
def test_another_thread_may_walk_the_frames_of_greenlets_that_come_and_go(lanes):
    """As a report of all stacks does: the chain changes under the walker between any two steps."""
    run_isolated(WALK, env={"COROLIB_LANES": str(lanes)})


LEFT = """
    import gc, sys, threading
    from corolib._switch import getcurrent, greenlet

    how, threads = sys.argv[1], int(sys.argv[2])
    getcurrent()

    def size():
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * 4096

    def run(home):
        home.switch()

    kept, ready, told = [], threading.Semaphore(0), threading.Semaphore(0)

    def thread():
        children = [greenlet(run) for _ in range(10)]
        for child in children:
            child.switch(getcurrent())
        if how == "dropped by itself":
            return
        kept.append(children)
        del children, child
        ready.release()
        if how != "dropped after its end":
            told.acquire()
        if how == "dropped by another, and it goes on":
            getcurrent()
            greenlet(int).switch()

    def wave(count):
        for _ in range(count // 10):
            started = [threading.Thread(target=thread) for _ in range(10)]
            for each in started: each.start()
            if how != "dropped by itself":
                for each in started: ready.acquire()
            if how == "dropped after its end":
                for each in started: each.join()
            kept.clear()
            if how not in ("dropped after its end", "dropped by itself"):
                for each in started: told.release()
            for each in started: each.join()

    wave(100)
    gc.collect()
    before = size()
    wave(threads)
    gc.collect()
    left = sum(isinstance(each, greenlet) for each in gc.get_objects())
    print(left - 1, size() - before)  # the main greenlet of this thread is no remainder
"""


@pytest.mark.parametrize(
    "threads", [300, pytest.param(3000, marks=[pytest.mark.slow, pytest.mark.hang_after(200)])]
)
@pytest.mark.parametrize(
    "how",
    [
        "dropped by itself",
        "dropped by another, and it goes on",
        "dropped by another, and it only ends",
        "dropped after its end",
    ],
)
@pytest.mark.heavy
def test_greenlets_that_threads_leave_parked_are_gone_with_them(how, threads):
    done = run_isolated(LEFT, how, threads, timeout=150)
    left, grown = map(int, done.stdout.split())
    assert left == 0
    assert EMULATED or grown < 1 << 20  # the emulator keeps memory for each thread


BLOCKING = """
    import ctypes, gc, sys, threading
    from corolib._switch import GreenletExit, getcurrent, greenlet

    threads = int(sys.argv[1])
    libc = ctypes.CDLL(None)  # gives up the GIL around each call
    compare = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)

    def run(home):
        parked = []

        @compare
        def callback(a, b):
            # An exception does not get past C code, so what it comes with is what ends this here.
            if not parked:
                parked.append(1)
                try:
                    home.switch()
                except GreenletExit:
                    ended.append(1)
            return 0

        values = (ctypes.c_int * 4)(4, 3, 2, 1)
        libc.qsort(values, 4, 4, callback)

    def thread(keep):
        children = [greenlet(run, pin=number == 3) for number in range(10)]
        for child in children:
            child.switch(getcurrent())
        # Some go on to their end.
        for child in children[:3]:
            child.switch()
        if keep:
            kept.append(children)

    kept, ended = [], []
    for number in range(threads):
        each = threading.Thread(target=thread, args=(number % 2,))
        each.start()
        if number % 3 == 0:
            each.join()
    for each in threading.enumerate():
        if each is not threading.current_thread():
            each.join()
    assert all(child.dead for children in kept for child in children)
    # Those that were dropped by their own thread were ended there, the others are left as they are.
    assert len(ended) == 7 * (threads - threads // 2), len(ended)
    kept.clear()
    gc.collect()
    print("ok", flush=True)
"""


@pytest.mark.parametrize("threads", [100, pytest.param(1000, marks=pytest.mark.slow)])
def test_threads_that_end_with_greenlets_parked_inside_of_c_functions_that_give_up_the_gil(threads):
    """qsort() of the C library calls back; there they park, and the thread ends."""
    done = run_isolated(BLOCKING, threads, options=["-X", "faulthandler"])
    assert (done.stdout, done.stderr) == ("ok\n", "")


ATTACHED = """
    #include <Python.h>
    #include <pthread.h>

    struct work {
        PyObject *callback;
        int rounds;
    };

    /* Attaches and detaches again and again; between two rounds this thread is none of Python's. */
    static void *body(void *argument)
    {
        struct work *work = argument;
        for (int i = 0; i < work->rounds; i++) {
            PyGILState_STATE state = PyGILState_Ensure();
            PyObject *result = PyObject_CallFunction(work->callback, "i", i);
            if (result == NULL) PyErr_Print();
            Py_XDECREF(result);
            PyGILState_Release(state);
        }
        return NULL;
    }

    static PyObject *run(PyObject *module, PyObject *args)
    {
        struct work work;
        int threads;
        pthread_t ids[64];
        if (!PyArg_ParseTuple(args, "Oii", &work.callback, &threads, &work.rounds)) return NULL;
        Py_BEGIN_ALLOW_THREADS
        for (int i = 0; i < threads; i++) pthread_create(&ids[i], NULL, body, &work);
        for (int i = 0; i < threads; i++) pthread_join(ids[i], NULL);
        Py_END_ALLOW_THREADS
        Py_RETURN_NONE;
    }

    static PyMethodDef functions[] = {{"run", run, METH_VARARGS, NULL}, {NULL, NULL, 0, NULL}};
    static struct PyModuleDef definition = {
        PyModuleDef_HEAD_INIT, .m_name = "attached", .m_size = -1, .m_methods = functions};

    PyMODINIT_FUNC PyInit_attached(void)
    {
        return PyModule_Create(&definition);
    }
"""


@pytest.mark.heavy
def test_a_native_thread_that_attaches_again_and_again(tmp_path):
    source = tmp_path / "attached.c"
    source.write_text(dedent(ATTACHED))
    build_extension(tmp_path / f"attached{sysconfig.get_config_var('EXT_SUFFIX')}", [source], ["-O2"])
    done = run_isolated(
        """
        import gc, sys
        sys.path.insert(0, sys.argv[1])
        import attached
        from corolib._switch import getcurrent, greenlet, stats

        def size():
            with open("/proc/self/statm") as file:
                return int(file.read().split()[1]) * 4096

        ends = 0

        def callback(turn):
            global ends
            main = getcurrent()
            assert main.parent is None and not main.dead
            # A fresh one in each round, of an object that may be a used one.
            assert stats()["greenlets"] == 0 and not hasattr(main, "mark")
            main.mark = turn

            def run():
                global ends
                try:
                    main.switch()
                finally:
                    ends += 1

            children = [greenlet(run) for _ in range(5)]
            for child in children:
                child.switch()
            children[0].switch()

        mine = getcurrent()
        sizes = []
        for _ in range(8):
            ends = 0
            attached.run(callback, 4, 500)
            assert ends == 4 * 500 * 5, ends
            sizes.append(size())
        gc.collect()
        assert sum(isinstance(each, greenlet) for each in gc.get_objects()) == 1
        assert getcurrent() is mine
        # One object left by each would be half a megabyte more each time; the heaps of four threads waver.
        assert min(b - a for a, b in zip(sizes[3:], sizes[4:])) < 256 << 10, sizes
        """,
        tmp_path,
    )
    assert done.stderr == ""
