"""System calls fail, one at a time: who uses them gets an exception or goes on, and never hangs or dies.

    python tests/storms/faults.py [--calls accept4,epoll_wait] [--errors EINTR,ENOMEM] [--most 50]
    python tests/storms/faults.py --fault accept4:EMFILE:1 --fault read:EAGAIN:3

For each call, error and n a process is forked that has a conversation by all kinds of sockets and files, and
strace makes the n-th such call in it fail. It has to end with everything done, or with an OSError or
MemoryError that says what happened; not by a signal, nor out of time, nor having used the processor in
between. n goes up until the conversation makes no such call any more, or `--most`. Ends with status 1 if one
did not.
"""

import _socket
import argparse
import errno
import faulthandler
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from typing import Any

from corolib import Greenlet, event, fileobject, killall, sleep, socket
from corolib import os as green_os
from corolib.resolver import thread as _resolver  # noqa: F401  # now: an import fails with its file
from corolib.threadpool import ThreadPool

#: By the name that a report has, what the kernel's calls are that may stand behind it.
CALLS = {
    "accept4": "accept4",
    "read": "read,recvfrom",
    "write": "write,sendto",
    "sendmsg": "sendmsg",
    "recvmsg": "recvmsg",
    "epoll_create": "epoll_create1",
    "epoll_ctl": "epoll_ctl",
    "epoll_wait": "epoll_wait,epoll_pwait",
    "socket": "socket,socketpair",
    "connect": "connect",
    "open": "openat",
    "pipe2": "pipe2",
    "eventfd": "eventfd2",
    "clone": "clone,clone3",
    "mmap": "mmap",
}
#: What is left alone in other threads: there it is a wake-up of the hub by an eventfd, which the kernel never
#: refuses, and of which libev does not ask whether it has.
#: And a thread that gets no memory for its first frame is dropped by Python before it runs anything.
MAIN_THREAD_ONLY = ("write", "mmap")
ERRORS = ("EINTR", "EAGAIN", "EMFILE", "ENFILE", "ENOMEM", "ECONNRESET", "EPIPE", "EIO", "EBADF")
#: libev takes this for a mistake of the program's, and aborts. The kernel gives it for a closed number, and
#: the hub looks at each number before libev registers it.
IMPOSSIBLE = {("epoll_ctl", "EBADF")}
#: Seconds: for a conversation, which takes some hundredths; of processor time in it.
LIMIT, BUSY = 20.0, 5.0
#: The limit of its own waits: what runs into it was not woken.
PATIENCE = 8.0


# -- the conversation ----------------------------------------------------------------------------------------


def by_stream() -> None:
    """Two clients and a server, over TCP."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)

        def serve() -> None:
            for _ in range(2):
                connection, _ = listener.accept()
                connection.settimeout(PATIENCE)
                with connection:
                    while data := connection.recv(100):
                        connection.sendall(data * 1000)

        def ask() -> None:
            with socket.create_connection(listener.getsockname(), PATIENCE) as client:
                for _ in range(3):
                    client.sendall(b"question")
                    left = 8000
                    while left:
                        part = client.recv(left)
                        if not part:
                            raise ConnectionResetError("the server has gone")
                        left -= len(part)

        together(serve, ask, ask)


def by_datagram() -> None:
    with ExitStack() as stack:
        near, far = (stack.enter_context(socket.socket(type=socket.SOCK_DGRAM)) for _ in range(2))
        for sock in (near, far):
            sock.settimeout(PATIENCE)
            sock.bind(("127.0.0.1", 0))

        def answer() -> None:
            data, sender = far.recvfrom(100)
            far.sendto(data, sender)

        def ask() -> None:
            near.sendto(b"question", far.getsockname())
            assert near.recvfrom_into(bytearray(10))[0] == 8

        together(answer, ask)


def by_message() -> None:
    """A descriptor goes from one to the other."""
    near, far = socket.socketpair()
    with near, far:
        near.settimeout(PATIENCE)
        far.settimeout(PATIENCE)

        def receive() -> None:
            data, fds, _, _ = socket.recv_fds(far, 10, 1)
            for fd in fds:
                os.close(fd)
            if not data:
                raise ConnectionResetError("the sender has gone")

        together(receive, lambda: socket.send_fds(near, [b"x"], [0]))


def by_pipe() -> None:
    reader, writer = os.pipe()
    with fileobject.FileObject(reader, "rb") as source, fileobject.FileObject(writer, "wb") as sink:

        def write() -> None:
            with sink:
                for _ in range(3):
                    sink.write(bytes(30_000))
                    sink.flush()

        def read() -> None:
            if len(source.read()) != 90_000:
                raise OSError(errno.EPIPE, "the writer has gone")

        together(read, write)


def by_file() -> None:
    with open("/dev/null", "rb") as file:
        green_os.tp_read(file.fileno(), 10)


def by_thread() -> None:
    pool = ThreadPool(2)
    try:
        if pool.apply(sum, ([1, 2],)) != 3:
            raise AssertionError("a wrong result")
    finally:
        pool.kill()


def by_crowd() -> None:
    """Greenlets enough to need stacks that are mapped."""

    def wait(depth: int) -> None:
        if depth:
            wait(depth - 1)
        else:
            sleep(0)

    together(*(lambda: wait(20) for _ in range(100)))


STEPS = (by_stream, by_datagram, by_message, by_pipe, by_file, by_thread, by_crowd)


def together(*functions: Callable[[], object]) -> None:
    """Run them in greenlets until all are done or one fails, which ends the others."""
    over: Any = event.AsyncResult()
    left = len(functions)

    def attempt(function: Callable[[], object]) -> None:
        nonlocal left
        try:
            function()
        except Exception as error:
            over.set_exception(error)
        else:
            left -= 1
            if not left:
                over.set(None)

    crowd = []
    try:
        for function in functions:
            crowd.append(Greenlet.spawn(attempt, function))
        over.get(timeout=2 * PATIENCE)
    finally:
        killall(crowd)


def converse(report: int) -> None:
    """In the child: everything, and a line of what happened for each step."""
    for step in STEPS:
        try:
            step()
            line = "done"
        except TimeoutError as error:
            line = f"hung: {error!r}"
        except (OSError, MemoryError, RuntimeError) as error:
            # RuntimeError: a thread that cannot be started, as the standard library says it.
            line = f"failed: {error!r}"
        while True:
            try:
                os.write(report, f"{step.__name__} {line}\n".encode())
            except OSError:
                continue  # that, too, may have been the n-th
            break


# -- around it -----------------------------------------------------------------------------------------------


def fault(call: str, error: str, number: int) -> tuple[bool, str]:
    """One process with one fault: whether it was injected at all, and what is wrong with the outcome."""
    go_read, go_write = os.pipe()
    with tempfile.TemporaryFile() as report, tempfile.NamedTemporaryFile() as trace:
        pid = os.fork()
        if pid == 0:
            os.dup2(report.fileno(), 1)
            os.dup2(report.fileno(), 2)
            faulthandler.enable()
            faulthandler.register(signal.SIGUSR1, all_threads=True)
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            os.close(go_write)
            status = 1
            try:
                # The read that waits here is made again once strace is there, and may be the n-th.
                with suppress(OSError):
                    os.read(go_read, 1)
                converse(1)
                status = 0
            finally:
                if status:
                    sys.excepthook(*sys.exc_info())
                os._exit(status)
        os.close(go_read)
        names = CALLS[call]
        tracer = subprocess.Popen(
            [
                *("strace", "-o", trace.name, "-e", f"trace={names}"),
                *(() if call in MAIN_THREAD_ONLY else ("-f",)),
                *("-e", f"inject={names}:error={error}:when={number}", "-p", str(pid)),
            ],
            stderr=subprocess.PIPE,
        )
        assert tracer.stderr is not None
        attached = tracer.stderr.readline()
        if b"attached" not in attached:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise RuntimeError(f"strace: {attached!r}")
        os.write(go_write, b"x")
        os.close(go_write)
        wrong, status, used = wait_for(pid)
        tracer.communicate()
        report.seek(0)
        told = report.read().decode(errors="replace")
        injected = b"(INJECTED)" in trace.read()
    if status != 0:
        wrong += f"status {status}; "
    if used > BUSY:
        wrong += f"{used:.1f} s of processor time; "
    if "hung" in told:
        wrong += "a wait that nobody ended; "
    return injected, f"{wrong}\n{told}" if wrong else ""


def wait_for(pid: int) -> tuple[str, int, float]:
    """The end of the process: what is wrong with it, its status, its processor time."""
    until = time.monotonic() + LIMIT
    wrong = ""
    while True:
        ended, status, usage = os.wait4(pid, os.WNOHANG)
        if ended:
            return wrong, os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime
        if time.monotonic() > until:
            if wrong:
                os.kill(pid, signal.SIGKILL)
            else:
                wrong = f"it still ran after {LIMIT} s; "
                os.kill(pid, signal.SIGUSR1)  # its stacks
            until += 1
        time.sleep(0.002)


def faults(calls: list[str], errors: list[str], most: int) -> Iterator[tuple[str, str, int, str]]:
    """(call, error, n, what is wrong) for each."""
    for call in calls:
        for error in errors:
            if (call, error) in IMPOSSIBLE:
                continue
            for number in range(1, most + 1):
                injected, wrong = fault(call, error, number)
                if not injected and not wrong:
                    break
                yield call, error, number, wrong


def single(wanted: list[str]) -> Iterator[tuple[str, str, int, str]]:
    for each in wanted:
        call, error, number = each.split(":")
        injected, wrong = fault(call, error, int(number))
        yield call, error, int(number), wrong if injected else f"it was not injected\n{wrong}"


def warm_up() -> None:
    """What the interpreter reads once, when it is first needed: no business of ours."""
    "name".encode("idna")
    _socket.getaddrinfo("127.0.0.1", 1, 0, 0, 0, _socket.AI_NUMERICHOST)
    str(OSError(errno.EIO, os.strerror(errno.EIO)))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", default=",".join(CALLS))
    parser.add_argument("--errors", default=",".join(ERRORS))
    parser.add_argument("--most", type=int, default=50)
    parser.add_argument("--fault", action="append", metavar="CALL:ERROR:N", help="these alone")
    options = parser.parse_args()
    warm_up()
    count = bad = 0
    if options.fault:
        found = single(options.fault)
    else:
        found = faults(options.calls.split(","), options.errors.split(","), options.most)
    for call, error, number, wrong in found:
        count += 1
        if wrong:
            bad += 1
            print(f"{call} {error} at {number}: {wrong}", flush=True)
    print(f"{count} faults, {bad} of them survived badly")
    return 1 if bad or not count else 0


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        sys.exit(main())
