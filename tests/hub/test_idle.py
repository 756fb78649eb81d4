"""A process that waits for something does nothing else: no wake-up of its own accord."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import needed
import pytest
from helpers import EMULATED, ROOT

SETUP = """
import os, sys
import corolib, corolib.os, corolib.threadpool
from corolib.event import Event
from corolib.hub import get_hub
from corolib.socket import create_server, socketpair

# Idle connections and a listener, a distant deadline, a signal handler, a child, a pool with an idle thread.
pairs = [socketpair() for _ in range(50)]
for near, far in pairs:
    corolib.spawn(near.recv, 1)
    far.sendall(b"x")
corolib.sleep(0.01)
for near, far in pairs:
    corolib.spawn(far.recv, 1)
corolib.spawn(create_server(("127.0.0.1", 0)).accept)
corolib.spawn(corolib.sleep, 1000)
corolib.signal_handler(15, sys.exit, 7)
reader, writer = os.pipe()
child = corolib.os.fork_and_watch()
if child == 0:
    os.close(writer)
    os.read(reader, 1)
    os._exit(0)
corolib.config.threadpool_idle_task_timeout = -1
get_hub().threadpool.apply(int)
corolib.sleep(0.01)
"""


def environment():
    return {**os.environ, "PYTHONPATH": str(ROOT)}


@pytest.mark.skipif(EMULATED, reason="system calls of the emulator would be counted")
def test_a_second_of_waiting_is_one_poll(tmp_path):
    script = tmp_path / "idle.py"
    script.write_text(SETUP + "os.getppid()\ncorolib.sleep(1)\nos.getppid()\nos._exit(0)\n")
    done = subprocess.run(
        [sys.executable, ROOT / "tests" / "hub" / "count_syscalls.py", script],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    if "ptrace request" in done.stderr:
        pytest.skip("processes cannot be traced here")
    assert done.returncode == 0, done.stderr
    counts = json.loads(done.stdout)
    assert counts.pop("epoll_wait") == 1
    counts.pop("getppid", None)
    assert counts == {}


def wait_until_it_sleeps(pid):
    """As long as it has something to do, it is running or about to; and that costs time."""
    before = None
    while True:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        now = (fields[0], fields[11], fields[12])  # state, time in user mode, in the kernel
        if now == before and fields[0] == "S":
            return
        before = now
        time.sleep(0.3)


@pytest.mark.skipif(EMULATED, reason="strace would trace the emulator")
def test_strace_shows_one_blocked_poll(tmp_path):
    """Main waits for an event, which a signal handler might set: no deadline at all."""
    command = needed.program("strace")
    process = subprocess.Popen(
        [sys.executable, "-c", SETUP + "os.write(1, b'idle')\nEvent().wait()"],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    log = tmp_path / "log"
    try:
        assert os.read(process.stdout.fileno(), 10) == b"idle"
        wait_until_it_sleeps(process.pid)
        strace = subprocess.Popen(
            [command, "-f", "-p", str(process.pid), "-o", log], stderr=subprocess.PIPE, text=True
        )
        first = strace.stderr.readline()
        if "attached" not in first:
            pytest.skip(f"strace cannot trace: {first}")
        time.sleep(1.5)
        strace.send_signal(signal.SIGINT)
        strace.communicate(timeout=60)
        process.terminate()
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    # The main thread in its poll, the idle thread in its lock, and nothing that ended in between.
    calls = [line.split(maxsplit=1)[1] for line in log.read_text().splitlines()]
    begun = sorted(line.split("(")[0] for line in calls if not line.startswith("<"))
    assert begun in (["epoll_wait", "futex"], ["epoll_pwait", "futex"]), calls
    assert not [line for line in calls if "resumed" in line or " = " in line], calls
    assert (process.returncode, errors) == (7, b"")
