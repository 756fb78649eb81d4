"""What tests share: a recorder of order, fresh interpreters, a pair of connected sockets."""

import os
import platform
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from textwrap import dedent, indent
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
# Under user-mode emulation no limit of address space holds, and the emulator's memory counts as ours.
EMULATED = Path(f"/proc/sys/fs/binfmt_misc/qemu-{platform.machine()}").exists()
# How much longer than on a real machine anything may take.
PATIENCE = 15 if EMULATED else 1
# What fesetround() takes for: to nearest, up, down, to zero. Each machine has its own bits for it.
ROUNDING = (0, 0x400000, 0x800000, 0xC00000) if platform.machine() == "aarch64" else (0, 0x800, 0x400, 0xC00)


class Recorder:
    """Notes what happens, in order; a test then compares order instead of sleeping.

    check() takes a template in which a set stands for "these, in any order".
    """

    def __init__(self) -> None:
        self.items: list[Any] = []

    def __call__(self, item: Any) -> None:
        self.items.append(item)

    add = __call__

    def check(self, template: Iterable[Any]) -> None:
        template = list(template)
        left = list(self.items)
        for expected in template:
            if isinstance(expected, set | frozenset):
                found, left = left[: len(expected)], left[len(expected) :]
                missing = list(expected)
                for item in found:
                    if item in missing:
                        missing.remove(item)
                fits = len(found) == len(expected) and not missing
            else:
                found, left = left[:1], left[1:]
                fits = found == [expected]
            if not fits:
                raise AssertionError(
                    f"at {expected!r}: found {found!r}\n  recorded {self.items!r}\n  expected {template!r}"
                )
        if left:
            raise AssertionError(
                f"not expected: {left!r}\n  recorded {self.items!r}\n  expected {template!r}"
            )


def run_isolated(
    script: str | Path,
    *args: object,
    env: Mapping[str, str] | None = None,
    timeout: float = 60,
    check: bool = True,
    options: Sequence[str] = (),
    under: Sequence[str] = (),
) -> subprocess.CompletedProcess[str]:
    """Run source text (a str, dedented) or a file (a Path) in a fresh interpreter that finds corolib and
    these helpers.

    `env` adds to this process's environment, `options` are the interpreter's own (such as "-W", "error"),
    `under` is a command that starts it. With `check` a status other than 0 fails the test with everything the
    script wrote. `timeout` is in seconds of a real machine.
    """
    source = [str(script)] if isinstance(script, Path) else ["-c", dedent(script)]
    command = [*under, sys.executable, *options, *source, *map(str, args)]
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    environ = {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", **(env or {})}
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout * PATIENCE,
        )
    except subprocess.TimeoutExpired as expired:
        written = _output(_text(expired.stdout), _text(expired.stderr))
        raise AssertionError(f"the script still ran after {timeout * PATIENCE} s\n{written}") from None
    if check and done.returncode != 0:
        raise AssertionError(
            f"the script ended with {_status(done.returncode)}\n{_output(done.stdout, done.stderr)}"
        )
    return done


def _text(output: str | bytes | None) -> str:
    return output.decode(errors="replace") if isinstance(output, bytes) else output or ""


def _status(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"status {code}"


def _output(stdout: str, stderr: str) -> str:
    return f"stdout:\n{indent(stdout, '    ')}\nstderr:\n{indent(stderr, '    ')}"


def socket_pair() -> tuple[socket.socket, socket.socket]:
    """Two connected TCP sockets on loopback, of the plain (blocking) kind."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        far, _ = listener.accept()
    return near, far


def free_port() -> int:
    """A port of loopback that nobody listens on, for a program that has to be told one."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def end(process: subprocess.Popen[Any], patience: float = 20) -> None:
    """Have a program end, by force if it does not within that many seconds; then it is not there any more."""
    process.terminate()
    try:
        process.wait(patience)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(patience)


def in_thread(function: Callable[[], Any]) -> Any:
    """The result of function() in a native thread, or what it raised."""
    found: list[Any] = []

    def run() -> None:
        try:
            found.append(function())
        except BaseException as error:
            found.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return found[0]
