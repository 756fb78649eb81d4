"""The types that users' checkers see, and what is generic at run time."""

import subprocess
import sys
from pathlib import Path

import pytest
from helpers import ROOT

from corolib.event import AsyncResult
from corolib.greenlet import Greenlet
from corolib.pool import IMap, IMapUnordered
from corolib.queue import Channel, JoinableQueue, LifoQueue, PriorityQueue, Queue, SimpleQueue
from corolib.threadpool import ThreadResult

GENERIC = [
    *(AsyncResult, Greenlet, IMap, IMapUnordered, ThreadResult),
    *(Channel, JoinableQueue, LifoQueue, PriorityQueue, Queue, SimpleQueue),
]


@pytest.mark.hang_after(300)
def test_a_type_checker_sees_the_public_types(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--config-file", "pyproject.toml", "--strict"),
            str(ROOT / "tests" / "typing" / "public.py"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_package_says_that_it_is_typed() -> None:
    assert (ROOT / "corolib" / "py.typed").exists()


@pytest.mark.parametrize("kind", GENERIC)
def test_generic_at_run_time(kind: type) -> None:
    alias = kind[int]  # type: ignore[index]
    assert alias.__origin__ is kind and alias.__args__ == (int,)


@pytest.mark.parametrize("kind", [AsyncResult, *GENERIC[5:]])
def test_an_alias_makes_what_it_stands_for(kind: type) -> None:
    assert type(kind[int]()) is kind  # type: ignore[index]


def test_an_alias_of_greenlet_spawns_and_can_be_derived_from() -> None:
    assert Greenlet[int].spawn(int, "5").get() == 5

    class Worker(Greenlet[str]):
        def __init__(self, count: int) -> None:
            super().__init__()
            self.count = count

        def _run(self) -> str:
            return "x" * self.count

    assert Worker.spawn(3).get() == "xxx"
