"""Programs that some tests need and that not every machine has."""

import importlib.util
import os
import shutil

import pytest


def program(name: str) -> str:
    """The path of a program; without it the test is skipped, but fails where all of them are promised."""
    found = shutil.which(name)
    if found is None:
        _missing(f"there is no {name} on this machine")
    return found


def module(name: str) -> None:
    if importlib.util.find_spec(name) is None:
        _missing(f"the module {name} is not installed")


def _missing(reason: str) -> None:
    if os.environ.get("COROLIB_CI") == "1":
        pytest.fail(f"{reason}, and COROLIB_CI=1 promises it")
    pytest.skip(reason)
