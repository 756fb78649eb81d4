"""Runs a Python script under ptrace and prints how often it made each system call that is named below.

    python count_syscalls.py SCRIPT

Counted is what the script does between its first and its second os.getppid(). The answer is a JSON object:
the names of the calls, and the same with "-EAGAIN" for those that failed so. It is a program of its own
because whoever traces a process must be the thread that waits for it.
"""

import ctypes
import errno
import json
import os
import platform
import signal
import subprocess
import sys
from collections import Counter

NUMBERS = {
    "x86_64": {
        44: "sendto",
        45: "recvfrom",
        55: "getsockopt",
        110: "getppid",
        232: "epoll_wait",
        233: "epoll_ctl",
        281: "epoll_wait",
    },
    "aarch64": {
        21: "epoll_ctl",
        22: "epoll_wait",
        173: "getppid",
        206: "sendto",
        207: "recvfrom",
        209: "getsockopt",
    },
}[platform.machine()]

PTRACE_TRACEME, PTRACE_SYSCALL, PTRACE_SETOPTIONS, PTRACE_GET_SYSCALL_INFO = 0, 24, 0x4200, 0x420E
PTRACE_O_TRACESYSGOOD, PTRACE_O_EXITKILL = 1, 1 << 20
ENTRY, EXIT = 1, 2
#: A stop for a system call shows as SIGTRAP with this bit.
SYSCALL_STOP = signal.SIGTRAP | 0x80

ptrace = ctypes.CDLL(None, use_errno=True).ptrace
ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
ptrace.restype = ctypes.c_long


class SyscallInfo(ctypes.Structure):
    """struct ptrace_syscall_info of <linux/ptrace.h>; at an exit `number` is the result."""

    _fields_ = (
        ("op", ctypes.c_uint8),
        ("pad", ctypes.c_uint8 * 3),
        ("arch", ctypes.c_uint32),
        ("instruction_pointer", ctypes.c_uint64),
        ("stack_pointer", ctypes.c_uint64),
        ("number", ctypes.c_int64),
        ("rest", ctypes.c_uint64 * 7),
    )


def call(request: int, pid: int, address: int | None = None, data: object = None) -> None:
    if ptrace(request, pid, address, data) < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"ptrace request {request:#x}: {os.strerror(code)}")


def count(command: list[str]) -> Counter[str]:
    """Start `command` and count its calls until it ends."""
    child = subprocess.Popen(command, preexec_fn=lambda: call(PTRACE_TRACEME, 0))
    _, status = os.waitpid(child.pid, 0)  # stopped at its exec
    call(PTRACE_SETOPTIONS, child.pid, None, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL)
    counts: Counter[str] = Counter()
    info, name, marks, passed_on = SyscallInfo(), None, 0, 0
    while True:
        call(PTRACE_SYSCALL, child.pid, None, passed_on)
        _, status = os.waitpid(child.pid, 0)
        passed_on = 0
        if not os.WIFSTOPPED(status):
            child.returncode = os.waitstatus_to_exitcode(status)
            break
        if os.WSTOPSIG(status) != SYSCALL_STOP:
            passed_on = os.WSTOPSIG(status)
            continue
        call(PTRACE_GET_SYSCALL_INFO, child.pid, ctypes.sizeof(info), ctypes.addressof(info))
        if info.op == ENTRY:
            name = NUMBERS.get(info.number)
            marks += name == "getppid"
        elif info.op == EXIT and name is not None and marks == 1:
            counts[name] += 1
            if info.number == -errno.EAGAIN:
                counts[name + "-EAGAIN"] += 1
    if child.returncode != 0 or marks != 2:
        raise SystemExit(
            f"{command} ended with status {child.returncode} after {marks} marks, expected 0 after 2"
        )
    return counts


if __name__ == "__main__":
    print(json.dumps(count([sys.executable, *sys.argv[1:]])))
