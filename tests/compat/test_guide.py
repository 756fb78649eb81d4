"""The guide on migration says what the tables say."""

from compat.guide import BEGIN, END, GUIDE, page

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
