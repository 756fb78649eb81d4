"""The benchmarks' parts, at sizes at which their times mean nothing."""

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from helpers import ROOT

BENCHMARKS = ROOT / "benchmarks"
TINY = {"switch": 50, "spawn": 50, "yield": 50, "memory": 200, "echo": 50}


@pytest.fixture
def part(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Imports a file of the benchmarks by name, and forgets all of them afterwards."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    before = set(sys.modules)

    def load(name: str) -> ModuleType:
        return __import__(name)

    yield load
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) and BENCHMARKS in Path(sys.modules[name].__file__ or "").parents:
            del sys.modules[name]


def rows() -> ModuleType:
    """The tables, loaded for the parameters of the tests below."""
    sys.path.insert(0, str(BENCHMARKS))
    try:
        return __import__("rows")
    finally:
        sys.path.remove(str(BENCHMARKS))
