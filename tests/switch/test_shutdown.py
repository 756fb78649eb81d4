"""The end of the program: with greenlets parked, threads about, and Python code that comes too late."""

import os
import resource
import subprocess
import sys
import sysconfig
import tempfile
from textwrap import dedent

import needed
import pytest
from helpers import EMULATED, ROOT, run_isolated
from switch.building import HERE, build_engine, compiler, python_flags, run

STORMS = HERE / "storms"


@pytest.mark.parametrize(
    ("count", "first"),
    [
        (12, 1),
        pytest.param(250, 1000, marks=[pytest.mark.slow, pytest.mark.hang_after(900)]),
    ],
)
@pytest.mark.heavy
@pytest.mark.skipif(EMULATED, reason="each has two seconds of a real processor")
def test_a_storm_of_exits(count, first):
    done = run_isolated(STORMS / "exits.py", count, "--seed", first, timeout=800)
    assert f"{count} exits, seeds {first} to {first + count - 1}: 0 failures" in done.stdout


def test_the_storm_of_exits_tells_a_wrong_end():
    """A plan that another interpreter follows with another way out."""
    script = f"""
        import sys
        sys.path.insert(0, {str(STORMS)!r})
        import exits
        plan = exits.Plan(1)
        plan.way, plan.status = "exit", 7
        failures = [exits.judge(1, plan, status, open("/dev/null", "rb"), 0.1, used)
                    for status, used in ((7, 0.1), (0, 0.1), (-11, 0.1), (None, 0.1), (7, 5.0))]
        print([failure and failure.split(": ")[1].split("\\n")[0] for failure in failures])
        """
    assert eval(run_isolated(script).stdout) == [
        *(None, "ended with 0, not 7", "ended with -11, not 7", "did not end"),
        "took 5.0 s of processor time",
    ]


TOGETHER = """
    import sys, threading
    from corolib._switch import getcurrent, greenlet

    def thread():
        parked = [greenlet(getcurrent().switch) for _ in range(10)]
        for child in parked:
            child.switch()
        greenlet(wait).switch()

    def wait():
        ready.release()
        gate.acquire()
        gate.release()

    ready, gate = threading.Semaphore(0), threading.Lock()
    gate.acquire()
    for _ in range(8):
        threading.Thread(target=thread, daemon=True).start()
    for _ in range(8):
        ready.acquire()
    gate.release()
"""


@pytest.mark.parametrize(
    "runs", [10, pytest.param(300, marks=[pytest.mark.slow, pytest.mark.hang_after(400)])]
)
def test_threads_that_end_in_the_moment_in_which_the_interpreter_does(runs):
    for _ in range(runs):
        done = run_isolated(TOGETHER)
        assert (done.stdout, done.stderr) == ("", "")


def test_exit_handlers_can_do_all_that_the_program_can():
    """Registered before the engine is imported, after it, and in a greenlet; each fetches a page."""
    done = run_isolated(
        """
        import atexit, http.client, http.server, threading

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.end_headers()
                self.wfile.write(self.path.encode())

            def log_message(self, *args):
                pass

        server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()

        def fetch(name):
            connection = http.client.HTTPConnection(*server.server_address)
            connection.request("GET", "/" + name)
            return connection.getresponse().read().decode()

        def handler(name):
            from corolib._switch import getcurrent, greenlet
            main = getcurrent()
            child = greenlet(lambda: main.switch(fetch(name)))
            print(child.switch(), getcurrent() is main, bool(parked), flush=True)
            parked.switch()

        atexit.register(handler, "first")
        from corolib._switch import getcurrent, greenlet

        def park():
            while True:
                getcurrent().parent.switch()

        parked = greenlet(park)
        parked.switch()
        atexit.register(lambda: greenlet(handler).switch("last"))
        greenlet(atexit.register).switch(handler, "from-a-greenlet")
        """
    )
    assert done.stdout.splitlines() == ["/from-a-greenlet True True", "/last True True", "/first True True"]
    assert done.stderr == ""


def test_exit_handlers_can_use_the_loop():
    needed.hub()
    done = run_isolated(
        """
        import atexit

        def handler(name):
            import corolib
            from corolib import socket

            def serve(listener):
                connection, _ = listener.accept()
                connection.sendall(connection.recv(100).upper())
                connection.close()

            listener = socket.create_server(("127.0.0.1", 0))
            served = corolib.spawn(serve, listener)
            client = socket.create_connection(listener.getsockname())
            client.sendall(name.encode())
            print(client.recv(100).decode(), flush=True)
            served.join()
            client.close()
            listener.close()

        atexit.register(handler, "first")
        from corolib._switch import greenlet
        atexit.register(handler, "last")
        """
    )
    assert done.stdout.splitlines() == ["LAST", "FIRST"]
    assert done.stderr == ""


# --- too late ---------------------------------------------------------------------------------------------

LATE = """
    import builtins, gc, os, sys, threading
    from corolib._switch import add_switch_hook, getcurrent, gettrace, greenlet, settrace
    gc.disable()
    what, where = sys.argv[1:]
    main = getcurrent()

    def run():
        try:
            while True:
                main.switch("from the child")
        except ValueError:
            return "thrown"

    child, fresh = greenlet(run), greenlet(lambda: "started")
    child.switch()

    def recreate(greenlet=greenlet, getcurrent=getcurrent):
        parked = greenlet(getcurrent().switch)
        parked.switch()
        return greenlet(lambda: "made").switch()

    actions = {
        "switch": lambda: child.switch(),
        "start": lambda: fresh.switch(),
        "create": recreate,
        "throw": lambda: child.throw(ValueError),
        "getcurrent": lambda: getcurrent(),
        "drop": lambda: holder.clear(),
        "trace": lambda: (settrace(lambda *_: None), add_switch_hook(lambda *_: None), fresh.switch()),
        "frame": lambda: child.gr_frame.f_locals,
    }
    # What the destructor uses must not be found through the module: that may be cleared by then.
    def bind(function, names):
        for name in names:
            namespace[name] = globals()[name]
        return type(function)(function.__code__, namespace)

    namespace = {"__builtins__": builtins}
    holder = [child]
    if what == "drop":
        del child
        action = bind(actions[what], ["holder"])
    else:
        action = actions[what] if what == "create" else bind(
            actions[what], ["child", "fresh", "getcurrent", "settrace", "add_switch_hook"])

    class Late:
        def __del__(self, action=action, write=os.write, Exception=Exception, type=type):
            try:
                action()
                outcome = "done"
            except Exception as error:
                outcome = type(error).__name__
            write(1, outcome.encode() + b"\\n")

    if where == "module":
        late = Late()
        # Parked frames keep the dict alive; it is cleared as long as the module is alive too.
        itself = sys.modules[__name__]
    elif where == "cycle":
        late = Late()
        late.late = late
        del late
    elif where == "builtins":
        builtins.late = Late()
    elif where == "sys":
        sys.late = Late()
    elif where == "thread local":
        local = threading.local()
        local.late = Late()
    elif where == "parked frame":
        def keep(late):
            main.switch()
        kept = greenlet(keep)
        kept.switch(Late())
    elif where == "type":
        Late.late = Late()
"""

ACTIONS = ["switch", "start", "create", "throw", "getcurrent", "drop", "trace", "frame"]
PLACES = ["module", "cycle", "builtins", "sys", "thread local", "parked frame", "type"]


@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize("what", ACTIONS)
def test_whatever_a_late_destructor_does_works_or_raises(what, where):
    """When it runs differs by version and place; from a point on, getcurrent() says that it is over."""
    done = run_isolated(LATE, what, where, options=["-X", "faulthandler"])
    assert done.stderr == ""
    # Nothing, where the interpreter does not clear it. "error": its thread state is gone already.
    outcomes = ["", "done", "RuntimeError", "AttributeError", "TypeError", "error"]
    if what == "throw":
        outcomes.append("ValueError")  # the child has been ended, so it comes back
    assert done.stdout.removesuffix("\n") in outcomes
    if where in ("module", "cycle"):
        assert done.stdout != ""


# --- exit status ------------------------------------------------------------------------------------------

MANY = """
    import atexit, os, sys
    from corolib._switch import getcurrent, greenlet
    main = getcurrent()

    def run():
        held = [object() for _ in range(3)]
        while True:
            main.switch(held)

    def deep(levels):
        if levels:
            return greenlet(deep).switch(levels - 1)
        sys.exit(7)

    parked = [greenlet(run) for _ in range(10_000)]
    for child in parked:
        child.switch()
    how = sys.argv[1]
    if how == "os._exit":
        os._exit(7)
    if how == "os._exit in a child":
        greenlet(os._exit).switch(7)
    if how == "sys.exit":
        sys.exit(7)
    if how == "sys.exit in a child":
        greenlet(sys.exit).switch(7)
    if how == "sys.exit far down":
        greenlet(deep).switch(50)
    if how == "sys.exit thrown":
        parked[0].throw(SystemExit, 7)
    if how == "an exception":
        raise LookupError("the end")
    if how == "an exception of a child":
        greenlet(lambda: {}["the end"]).switch()
    if how == "by itself":
        pass
"""


@pytest.mark.parametrize(
    ("how", "status"),
    [
        *(("os._exit", 7), ("os._exit in a child", 7), ("sys.exit", 7), ("sys.exit in a child", 7)),
        *(("sys.exit far down", 7), ("sys.exit thrown", 7), ("by itself", 0)),
        *(("an exception", 1), ("an exception of a child", 1)),
    ],
)
def test_the_exit_status_is_kept_with_ten_thousand_parked(how, status):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = run_isolated(MANY, how, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == status, done.stderr
    # Processor time, which says the same on a busy machine; not under a checker, which comes with a library.
    if not (EMULATED or os.environ.get("LD_PRELOAD")):
        assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 2.0
    if status == 1:
        assert "the end" in done.stderr
        assert done.stderr.count("Traceback") == 1
    else:
        assert done.stderr == ""


# --- daemon threads ---------------------------------------------------------------------------------------

DAEMONS = """
    import sys, threading, time
    from corolib._switch import getcurrent, greenlet

    def spin(ready):
        # Gives up the GIL again and again; one of the times it will not get it back.
        main = getcurrent().parent
        ready.release()
        while True:
            time.sleep(0)
            sorted([2, 1], key=lambda n: (greenlet(time.sleep).switch(0.0001), n)[1])

    def thread():
        greenlet(lambda: greenlet(spin).switch(ready)).switch()

    ready = threading.Semaphore(0)
    for _ in range(6):
        threading.Thread(target=thread, daemon=True).start()
    for _ in range(6):
        ready.acquire()
    time.sleep(0.005)
    sys.exit(5)
"""


def test_daemon_threads_that_want_the_interpreter_back_after_its_end():
    for _ in range(10):
        done = run_isolated(DAEMONS, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (5, "", "")


@pytest.mark.slow
@pytest.mark.parametrize("flag", ["-fexceptions", "-fno-exceptions", "-fno-asynchronous-unwind-tables"])
def test_threads_that_are_ended_while_on_a_lane_whatever_the_unwind_tables(flag, tmp_path):
    """Versions before 3.14 end such threads with pthread_exit(), which unwinds the stack they stand on."""
    folder = build_engine(tmp_path / "built", flag)
    environ = {**os.environ, "PYTHONPATH": str(folder)}
    for _ in range(40):
        done = subprocess.run(
            [sys.executable, "-X", "faulthandler", "-c", dedent(DAEMONS)],
            env=environ,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert (done.returncode, done.stdout, done.stderr) == (5, "", "")


# --- embedding --------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_program_that_starts_and_ends_python_fifty_times(tmp_path):
    """The engine belongs to the first interpreter; the later ones are refused, and each can end."""
    source = tmp_path / "embed.c"
    source.write_text(
        """
        #include <Python.h>
        int main(void)
        {
            for (int i = 0; i < 50; i++) {
                Py_Initialize();
                int failed = PyRun_SimpleString(
                    "import sys, threading\\n"
                    "for attempt in range(2):\\n"
                    "    try:\\n"
                    "        from corolib._switch import getcurrent, greenlet\\n"
                    "    except ImportError as error:\\n"
                    "        print(error, flush=True)\\n"
                    "    else:\\n"
                    "        def park():\\n"
                    "            child = greenlet(getcurrent().switch, pin=attempt)\\n"
                    "            child.switch()\\n"
                    "            kept.append(child)\\n"
                    "        kept = []\\n"
                    "        park()\\n"
                    "        thread = threading.Thread(target=park); thread.start(); thread.join()\\n"
                    "        print('used', flush=True)\\n");
                if (failed || Py_FinalizeEx() < 0) return 1;
            }
            return 0;
        }
        """
    )
    program, folder = tmp_path / "embed", sysconfig.get_config_var("LIBDIR")
    library = f"-lpython{sysconfig.get_config_var('LDVERSION')}"
    libraries = [f"-L{folder}", f"-Wl,-rpath,{folder}", library, "-lm", "-ldl", "-lpthread"]
    run(*compiler(), source, *python_flags(), *libraries, "-o", program)
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHOME": sys.base_prefix}
    with tempfile.TemporaryFile("w+") as output:
        status = subprocess.run([program], env=environ, stdout=output, stderr=output, timeout=80).returncode
        output.seek(0)
        written = output.read()
    assert status == 0, written
    refusal = "corolib cannot be imported again after the interpreter was finalized in this process"
    assert written.splitlines() == ["used"] * 2 + [refusal] * 98


def test_reloading_and_importing_twice():
    run_isolated(
        """
        import importlib, sys
        from corolib import _switch
        from corolib._switch import _engine
        main = _switch.getcurrent()
        parked = _switch.greenlet(main.switch)
        parked.switch()
        for _ in range(20):
            importlib.reload(_engine)
            importlib.reload(_switch)
            for name in ("corolib._switch", "corolib._switch._engine"):
                del sys.modules[name]
            from corolib import _switch as again
            again = importlib.import_module("corolib._switch")
            assert again.greenlet is _switch.greenlet
            assert again.getcurrent() is main
            sys.modules["corolib._switch"] = _switch
            sys.modules["corolib._switch._engine"] = _engine
        assert parked.switch("back") == "back"
        """
    )
