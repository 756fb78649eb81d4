"""CPython's own tests of the standard library, run patched: they pass, or are listed in expectations.py."""

import os
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from stdlib.expectations import complaints, expected
from stdlib.modules import MODULES, folder, members
from stdlib.runner import BAD, Report, run

VERSION = sys.version_info[:2]
FOLDER = folder()
FOUND = {} if FOLDER is None else {name: members(name, FOLDER) for name in MODULES}

pytestmark = [pytest.mark.slow, pytest.mark.outside, pytest.mark.hang_after(3000)]


@pytest.fixture(scope="module")
def running(request: pytest.FixtureRequest) -> Iterator[dict[str, "Future[Report]"]]:
    """All that are asked for, two at a time: many wait most of the time."""
    items = [item for item in request.session.items if item.path == request.path]
    asked = [item.callspec.params["module"] for item in items if hasattr(item, "callspec")]
    with ThreadPoolExecutor(min(2, os.cpu_count() or 1)) as pool:
        yield {module: pool.submit(run, module, expected=expected(module, VERSION)) for module in asked}
        pool.shutdown(cancel_futures=True)


@pytest.mark.skipif(FOLDER is None, reason="this Python has no package `test`")
def test_the_modules_are_there() -> None:
    """Most of them; what a version has removed is left out by itself."""
    assert len([name for name in MODULES if FOUND[name]]) > 50


@pytest.mark.parametrize("module", [each for found in FOUND.values() for each in found])
def test_module(module: str, running: dict[str, "Future[Report]"]) -> None:
    report = running[module].result()
    rows = expected(module, VERSION)
    print(report.summary(), *(f"passed the second time: {name}" for name in report.flaky), sep="\n")
    doubtful = [test for test in report.bad() if test not in rows]
    unpatched = Report(module)
    if doubtful:
        unpatched = run(module, patch=False, only=doubtful, again=False)
        for test in unpatched.outcomes:
            if unpatched.outcomes[test] in BAD:
                print(f"does not pass without patching either: {test}")
    found = complaints(report, rows, unpatched)
    if found:
        pytest.fail("\n".join(found), pytrace=False)
