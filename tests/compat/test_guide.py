"""The guide on migration says what the tables say."""

import re
import tomllib

from compat.guide import BEGIN, END, GUIDE, ROOT, page

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
    table = GUIDE.read_text().split("## Libraries that were run")[1].split("\n## ")[0]
    rows = {line.split("|")[1].strip() for line in table.splitlines() if line.startswith("| ")}
    assert rows - names == {"library", "---"}
    for name in names - rows:
        assert name in table, f"{name} is in the extra and not in the guide"
