"""What some tests need and not every machine has: a developer may lack it, COROLIB_CI=1 promises it."""

import importlib.util
import os
import shutil
import sys
from pathlib import Path
from typing import NoReturn

import pytest


def program(name: str) -> str:
    """The path of a program; without it the test is skipped, but fails where all of them are promised."""
    beside = Path(sys.executable).with_name(name)  # installed in this environment, which need not be active
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        cannot(f"there is no {name} on this machine")
    return found


def hub() -> None:
    """The rest of corolib, which is not there when the engine is built and tested alone."""
    # Beside the engine that is tested: an installed corolib may have another one.
    engine, found = importlib.util.find_spec("corolib._switch"), importlib.util.find_spec("corolib._hub")
    assert engine is not None
    if found is None or Path(str(found.origin)).parents[1] != Path(str(engine.origin)).parents[1]:
        pytest.skip("the engine was built alone")


def cannot(reason: str) -> NoReturn:
    """Skip the test, or fail it where what it lacks is promised."""
    if os.environ.get("COROLIB_CI") == "1":
        pytest.fail(f"{reason}, and COROLIB_CI=1 promises it")
    pytest.skip(reason)
