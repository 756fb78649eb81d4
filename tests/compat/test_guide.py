"""The guide on migration says what the tables say."""

import re
import tomllib
from importlib.util import find_spec
from pathlib import Path

from compat.guide import BEGIN, END, GUIDE, ROOT, page
from compat.libraries import LIBRARIES, Results, rows

from corolib.compat.eventlet import EVENTLET
from corolib.compat.gevent import GEVENT
from corolib.compat.greenlet import GREENLET


def test_the_guide_s_table_is_that_of_the_code() -> None:
    text = GUIDE.read_text()
    assert page(text) == text, "run: python tests/compat/guide.py"


def test_every_module_and_every_absent_name_is_in_the_guide() -> None:
    """The test above would pass for a generator that writes nothing."""
    part = GUIDE.read_text().split(BEGIN)[1].split(END)[0]
    for library in (GEVENT, GREENLET, EVENTLET):
        for name, row in library.rows.items():
            assert f"| `{name}` |" in part
            assert all(f"`{absent}`: {why}" in part for absent, why in row.absent.items())
    assert "`corolib.event`: `AsyncResult` `Event`" in part


def test_the_libraries_in_the_guide_are_those_that_are_installed_for_the_tests() -> None:
    """A row for each, but for drivers and clients that only serve another one."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extra = project["project"]["optional-dependencies"]["dropin"]
    names = {re.match(r"[\w-]+(\[\w+\])?", each).group() for each in extra}  # type: ignore[union-attr]
    found = rows(GUIDE.read_text())
    assert set(found) - names == set()
    for name in names - set(found):
        assert name in "\n".join(found.values()), f"{name} is in the extra and not in the guide"


def test_the_table_of_libraries_is_of_a_run_of_the_tests() -> None:
    found = rows(GUIDE.read_text())
    assert list(found) == [library.name for library in LIBRARIES]
    for library in LIBRARIES:
        name, of_it, what, result = found[library.name].removeprefix("| ").removesuffix(" |").split(" | ")
        assert (name, what) == (library.name, library.what)
        assert re.fullmatch(r"\d+\.\d+", of_it)
        assert result == "; ".join(filter(None, ["works", library.remark]))
        for test in library.tests.split():
            file, function = test.partition("[")[0].split("::")
            assert f"\ndef {function}(" in (Path(__file__).parent / file).read_text(), test


def test_a_row_is_written_when_all_its_tests_have_run() -> None:
    results = Results()
    page = GUIDE.read_text()
    library = next(each for each in LIBRARIES if each.name == "grequests")
    before = rows(page)["grequests"]
    first, second = library.tests.split()
    results.found = {first: True}
    assert rows(results.page(page)) == rows(page)
    results.found = {first: True, second: None}
    assert rows(results.page(page))["grequests"] == before
    results.found = {first + "[a]": True, first + "[b]": False, second: True}
    if find_spec("grequests") is not None:
        assert rows(results.page(page))["grequests"].endswith(f"| fails: {first}[b] |")
