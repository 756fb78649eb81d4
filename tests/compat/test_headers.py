"""An extension compiled against the real greenlet.h runs on corolib."""

import importlib.metadata
import sysconfig
from pathlib import Path

import pytest
from compat.standing_in import AS_GEVENT, HERE
from helpers import run_isolated
from programs.running import needs
from switch.building import build_extension

pytestmark = [pytest.mark.slow, pytest.mark.outside]

PROGRAM = """
import greenlet
import headers_client
from corolib._switch import getcurrent

assert greenlet.getcurrent is getcurrent
here = getcurrent()
seen = []
def work(argument):
    seen.append(getcurrent().parent is here)
    try:
        return seen.append(here.switch(argument * 2))
    except ValueError:
        seen.append("thrown")
made, result, right = headers_client.run(work, 21)
assert (type(made), result, right) == (greenlet.greenlet, 42, 1)
assert made and not made.dead
assert headers_client.throw(made, ValueError) is None
assert made.dead and seen == [True, "thrown"]
print("ran")
"""


def test_an_extension_of_somebody_else_s(tmp_path: Path) -> None:
    needs(modules=("greenlet",))
    header = importlib.metadata.distribution("greenlet").locate_file("greenlet")
    build_extension(
        tmp_path / f"headers_client{sysconfig.get_config_var('EXT_SUFFIX')}",
        [HERE / "headers_client.c"],
        ["-O2", f"-I{header}"],
    )
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    assert run_isolated(program, options=AS_GEVENT).stdout == "ran\n"
