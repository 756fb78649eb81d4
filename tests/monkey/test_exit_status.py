"""The end of a program, patched and plain: the same status, and the same said about it."""

import os
import re
import signal
import subprocess
import sys

import pytest
from helpers import ROOT, run_isolated

PATCH = "from corolib import monkey\nmonkey.patch_all()\n"
IMPORTS = "import atexit, os, signal, sys, threading, time\n"


def end(script: str, **streams: object) -> tuple[int, str, str]:
    """(status, stdout, stderr) of a script; places in files and in memory are left out of stderr."""
    options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams}
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        text=True,
        timeout=60,
        **options,
    )
    said = re.sub(r"^  File .*\n(    .*\n)*", "", done.stderr or "", flags=re.MULTILINE)
    return done.returncode, done.stdout or "", re.sub("0x[0-9a-f]+", "0x...", said)


#: From outside, as signals come: by a shell that nobody waits for.
SEND = (
    "def send(number):\n"
    "    os.posix_spawn('/bin/sh', ['sh', '-c', f'kill -{int(number)} {os.getpid()}'], os.environ)\n"
)

SAME = {
    "sys.exit in main, threads wait": "event = threading.Event()\n"
    "threading.Thread(target=event.wait).start()\n"
    "threading.Timer(0.05, event.set).start()\n"
    "sys.exit(3)",
    "sys.exit in a thread": "threading.Thread(target=sys.exit, args=(4,)).start()",
    "an error in main, threads run": "threading.Thread(target=time.sleep, args=(0.05,)).start()\n1 / 0",
    "an error in a thread": "def fail(): raise ValueError('of a thread')\n"
    "thread = threading.Thread(target=fail, name='the one')\nthread.start()\nthread.join()",
    "an error in atexit": "atexit.register(lambda: 1 / 0)\natexit.register(print, 'first')",
    "sys.exit in atexit": "atexit.register(sys.exit, 5)",
    "atexit waits for a thread": "def hook():\n"
    "    thread = threading.Thread(target=time.sleep, args=(0.01,), daemon=True)\n"
    "    try: thread.start(); thread.join(); print('joined')\n"
    "    except RuntimeError as error: print('joined')\n"  # 3.12 starts no threads any more
    "atexit.register(hook)",
    "a thread waits for a hook of threading": "event = threading.Event()\n"
    "threading.Thread(target=lambda: (event.wait(), print('woken'))).start()\n"
    "threading._register_atexit(event.set)\nsys.exit(6)",
    "os._exit in a thread": "print('said', flush=True)\n"
    "threading.Thread(target=os._exit, args=(7,)).start()\ntime.sleep(60)",
    "SIGTERM": SEND + "send(signal.SIGTERM)\ntime.sleep(60)",
    "SIGHUP": SEND + "send(signal.SIGHUP)\ntime.sleep(60)",
    "SIGTERM that is handled": SEND + "signal.signal(signal.SIGTERM, lambda *_: sys.exit(8))\n"
    "atexit.register(print, 'cleaned up')\nsend(signal.SIGTERM)\ntime.sleep(60)",
    "an interrupt": SEND + "send(signal.SIGINT)\ntime.sleep(60)",
    "an error nobody can be told": "sys.stderr.close()\n1 / 0",
    "no stderr": "sys.stderr = None\nthreading.Thread(target=lambda: 1 / 0).start()\nprint('said')",
    "print to what was closed": "print('said')\nsys.stdout.flush()\nos.close(1)\nprint('not said')",
}


@pytest.mark.parametrize("name", SAME)
def test_it_ends_as_without_patching(name: str) -> None:
    script = IMPORTS + "signal.signal(signal.SIGINT, signal.default_int_handler)\n" + SAME[name] + "\n"
    assert end(PATCH + script) == end(script)


@pytest.mark.slow
@pytest.mark.outside
@pytest.mark.parametrize("where", ["stdout", "stderr", "both"])
@pytest.mark.parametrize(
    "script",
    ["print('text')", "1 / 0", "threading.Thread(target=lambda: 1 / 0).start()", "print('x'); sys.exit(9)"],
)
def test_a_full_disk_where_the_output_goes_changes_no_status(where: str, script: str) -> None:
    with open("/dev/full", "w") as full:
        streams = {name: full for name in ("stdout", "stderr") if where in (name, "both")}
        assert end(PATCH + IMPORTS + script, **streams) == end(IMPORTS + script, **streams)


def test_a_reader_that_has_gone_changes_no_status() -> None:
    statuses = []
    for script in (IMPORTS, PATCH + IMPORTS):
        reading, writing = os.pipe()
        os.close(reading)
        statuses.append(end(script + "print('x' * 100_000)", stdout=writing))
        os.close(writing)
    assert statuses[0] == statuses[1]
    assert statuses[0][0] != 0


@pytest.mark.parametrize(
    ("script", "status"),
    [
        ("corolib.get_hub().loop.run_callback(sys.exit, 11)\ncorolib.sleep(60)", 11),
        ("corolib.get_hub().loop.timer(0.01).start(sys.exit, 12)\ncorolib.sleep(60)", 12),
        ("corolib.spawn(sys.exit, 13)\ncorolib.sleep(60)", 13),
        ("corolib.get_hub().loop.run_callback(os._exit, 14)\ncorolib.sleep(60)", 14),
        (
            "corolib.spawn_later(0.01, os.kill, os.getpid(), signal.SIGTERM)\ncorolib.sleep(60)",
            -signal.SIGTERM,
        ),
    ],
)
def test_an_exit_in_the_hub_or_a_greenlet(script: str, status: int) -> None:
    assert end("import corolib, os, signal, sys\n" + script) == (status, "", "")


@pytest.mark.slow
@pytest.mark.outside
def test_threads_that_come_from_the_loop_while_python_ends_do_no_harm() -> None:
    """Native threads wake the loop while the interpreter is torn down: each run ends with its own status."""
    run_isolated(
        """
        import subprocess, sys
        script = (
            "import corolib, sys, threading\\n"
            "hub = corolib.get_hub()\\n"
            "def wake():\\n"
            "    while True: hub.loop.run_callback_threadsafe(int)\\n"
            "for _ in range(3): threading.Thread(target=wake, daemon=True).start()\\n"
            "corolib.sleep(0.01)\\n"
            "sys.exit(15)\\n"
        )
        for _ in range(5):
            done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=50)
            assert (done.returncode, done.stdout, done.stderr) == (15, "", ""), done
        """
    )
