"""Runs programs that import gevent or greenlet on corolib, and waits for what servers do."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

from helpers import PATIENCE, ROOT, end, run_isolated
from programs.running import PLAIN_NETWORK

HERE = Path(__file__).parent
#: Seconds until something has to be so.
SOON = 60 * PATIENCE
AS_GEVENT = ("-m", "corolib", "--as-gevent")


def run_as_gevent(
    program: str,
    *arguments: object,
    options: tuple[str, ...] = (),
    env: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """What a program of programs/ writes to stdout, which has to be the same every time."""
    script = HERE / "programs" / program
    done = run_isolated(script, *arguments, env={**PLAIN_NETWORK, **env}, options=(*AS_GEVENT, *options))
    return done.stdout


def environ(**more: str) -> dict[str, str]:
    """Of a program that finds corolib, and waits for no proxy."""
    return {**os.environ, **PLAIN_NETWORK, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **more}


@contextmanager
def running(log: Path, *arguments: object, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """`python` with these arguments, in the background; at the end it is not there any more."""
    with log.open("wb") as written:
        process = subprocess.Popen(
            [sys.executable, *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=written,
            stderr=written,
            **options,
        )
    try:
        yield process
    except BaseException:
        print(log.read_text(errors="replace"))
        raise
    finally:
        end(process)


def wait_until(what: str, ask: Callable[[], Any]) -> Any:
    """What ask() returns once that is true."""
    until = time.monotonic() + SOON
    while not (found := ask()):
        assert time.monotonic() < until, f"not in {SOON} s: {what}"
        time.sleep(0.02)
    return found
