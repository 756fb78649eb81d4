"""System calls that fail, one at a time (storms/faults.py): some every day, all of them in a long run."""

import os
import shutil
import subprocess
import sys

import pytest
from helpers import ROOT, run_isolated

SCRIPT = ROOT / "tests/storms/faults.py"
#: How many of each call are made to fail in the long run: for who runs it.
MOST = os.environ.get("COROLIB_TEST_FAULTS", "50")

pytestmark = pytest.mark.skipif(
    shutil.which("strace") is None and os.environ.get("COROLIB_CI") != "1",
    reason="strace, which makes system calls fail, is not installed",
)


@pytest.mark.parametrize(
    "faults",
    [
        (
            "accept4:EMFILE:1",
            "accept4:EINTR:2",
            "socket:ENFILE:2",
            "connect:ENOMEM:1",
            "epoll_create:EMFILE:1",
        ),
        ("read:ECONNRESET:4", "read:EINTR:4", "write:EAGAIN:3", "write:EPIPE:2", "sendmsg:EIO:1"),
        (
            "epoll_ctl:ENOMEM:2",
            "epoll_wait:EINTR:2",
            "epoll_wait:EBADF:3",
            "recvmsg:ENOMEM:1",
            "mmap:ENOMEM:1",
        ),
    ],
    ids=["making", "sending", "waiting"],
)
def test_a_conversation_survives_a_fault(faults: tuple[str, ...]) -> None:
    run_isolated(SCRIPT, *(part for fault in faults for part in ("--fault", fault)))


def test_a_fault_that_is_survived_badly_is_found_out() -> None:
    run_isolated("""
        import os, signal, time
        from storms import faults

        def hangs(): time.sleep(10)
        def waits(): raise TimeoutError("nobody woke it")
        def dies(): os.kill(os.getpid(), signal.SIGKILL)
        def raises(): raise ValueError
        def spins():
            while time.process_time() < used + 0.3: pass

        faults.LIMIT, faults.BUSY = 0.3, 0.2
        used = time.process_time()
        for step in (waits, dies, raises, spins, hangs):
            faults.STEPS = (step,)
            injected, wrong = faults.fault("socket", "EIO", 1)
            assert wrong, step
            assert not injected
    """)


def test_who_waits_for_what_the_kernel_will_not_watch_is_told_so() -> None:
    """S16: no room for one more registration."""
    script = """
from corolib import socket
from corolib.hub import sleep

sleep(0.001)  # the hub's own are registered
near, far = socket.socketpair()
for _ in range(2):
    try:
        near.recv(1)
    except OSError as error:
        print(error)
far.send(b"x")
print(near.recv(1))
"""
    refused = ("-e", "trace=epoll_ctl", "-e", "inject=epoll_ctl:error=ENOSPC:when=3+")
    command = ["strace", "-f", "-o", os.devnull, *refused, sys.executable, "-c", script]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    lines = done.stdout.splitlines()
    assert len(lines) == 3, done.stdout + done.stderr
    assert all(line.startswith("[Errno 28] the kernel refuses to watch") for line in lines[:2]), lines
    assert lines[2] == "b'x'"


@pytest.mark.slow
@pytest.mark.hang_after(36_000)
def test_a_conversation_survives_each_fault() -> None:
    run_isolated(SCRIPT, "--most", MOST, timeout=36_000)
