"""python -m corolib: a program runs patched, or as if corolib were gevent; and the hook for all programs."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from helpers import ROOT

from corolib.compat import _hook

SCRIPT = """
import sys, time
import gevent
from gevent import monkey
from greenlet import getcurrent
order = []
def each(number):
    order.append(number)
    gevent.sleep(0)
    order.append(-number)
gevent.joinall([gevent.spawn(each, number) for number in (1, 2)])
print(order, monkey.is_module_patched("time"), type(gevent).__name__, sys.argv[1:], __name__)
"""


def run(*arguments: object, status: int = 0, **environ: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", **environ},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == status, done.stderr
    return done


@pytest.fixture
def script(tmp_path: Path) -> Path:
    script = tmp_path / "program.py"
    script.write_text(SCRIPT)
    return script


def test_as_gevent_the_program_patches_itself_or_not(script: Path) -> None:
    done = run("-m", "corolib", "--as-gevent", script, "--its", "own")
    assert done.stdout == "[1, 2, -1, -2] False Alias ['--its', 'own'] __main__\n"
    done = run("-m", "corolib", "--as-gevent", "--patch", script)
    assert done.stdout == "[1, 2, -1, -2] True Alias [] __main__\n"


def test_without_it_the_program_runs_patched(tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text("from corolib import monkey\nprint(sorted(set(monkey.saved) & {'time', 'socket'}))\n")
    assert run("-m", "corolib", script).stdout == "['socket', 'time']\n"
    assert run("-m", "corolib", "--no-time", script).stdout == "['socket']\n"
    (tmp_path / "module_of_ours.py").write_text(
        "import sys\nfrom corolib import monkey\nprint(monkey.is_module_patched('time'), sys.argv[1:])\n"
    )
    done = run("-m", "corolib", "-m", "module_of_ours", "-x", PYTHONPATH=f"{ROOT}:{tmp_path}")
    assert done.stdout == "True ['-x']\n"


def test_a_module_of_gevent_s_that_is_a_program(script: Path) -> None:
    done = run("-m", "corolib", "--as-gevent", "-m", "gevent.monkey", script)
    assert done.stdout == "[1, 2, -1, -2] True Alias [] __main__\n"


def test_a_command_is_looked_for_where_commands_are(tmp_path: Path, script: Path) -> None:
    command = tmp_path / "a-command"
    command.write_text(f"#!{sys.executable}\n{SCRIPT}")
    command.chmod(0o755)
    done = run("-m", "corolib", "--as-gevent", "a-command", "x", PATH=f"{tmp_path}:/usr/bin:/bin")
    assert done.stdout == "[1, 2, -1, -2] False Alias ['x'] __main__\n"


def test_corolib_run_is_the_same(script: Path) -> None:
    """The script that the installation has put beside the interpreter."""
    command = Path(sysconfig.get_path("scripts")) / "corolib-run"
    if not command.exists() and os.environ.get("COROLIB_CI") != "1":
        pytest.skip("corolib is built in its folder here, not installed: there is no corolib-run")
    assert run(command, "--as-gevent", script, "x").stdout == "[1, 2, -1, -2] False Alias ['x'] __main__\n"
    assert "what is to be run is missing" in run(command, status=2).stderr
    # As a command, without naming the interpreter.
    done = subprocess.run(
        [command, "--patch", "--as-gevent", script], capture_output=True, text=True, timeout=60
    )
    assert (done.stdout, done.returncode) == ("[1, 2, -1, -2] True Alias [] __main__\n", 0)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([], "what is to be run is missing"),
        (["--as-gevent"], "what is to be run is missing"),
        (["-m"], "the module that is to be run is missing"),
        (["--as-gevent", "--no-ssl", "setup.py"], "--no-ssl says what is to be patched"),
        (["no-such-command"], "there is no file and no command no-such-command"),
        (["ls"], "ls is not written in Python"),
        (["--nonsense", "setup.py"], "there is no option --nonsense"),
        (["--install-hook", "x"], "--install-hook takes no arguments"),
    ],
)
def test_what_cannot_be_understood_is_said(arguments: list[str], problem: str) -> None:
    assert problem in run("-m", "corolib", *arguments, status=2).stderr


def test_the_hook_is_asked_by_the_environment(script: Path, tmp_path: Path) -> None:
    """The line of the .pth file, as Python runs it at its start; written and removed."""
    place = tmp_path / "site"
    place.mkdir()
    find = f"import sysconfig; sysconfig.get_path = lambda name: {str(place)!r}; "
    run("-c", find + "from corolib.__main__ import main; main(['--install-hook'])")
    (hook,) = place.iterdir()
    assert hook.name.endswith(".pth") and hook.name > "__editable__"
    start = f"import site, runpy; site.addsitedir({str(place)!r}); "
    start += f"runpy.run_path({str(script)!r}, None, '__main__')"
    done = run("-c", start, COROLIB_AS_GEVENT="1")
    assert done.stdout.startswith("[1, 2, -1, -2] False Alias"), done.stderr
    absent = (
        "import site, sys; site.addsitedir({!r}); print([n for n in sys.modules if n.startswith('corolib')])"
    )
    for environ in ({}, {"COROLIB_AS_GEVENT": ""}):
        assert run("-c", absent.format(str(place)), **environ).stdout == "[]\n"
    off = "import site, sys; site.addsitedir({!r}); import corolib.compat as c; print(c.installed())"
    assert run("-c", off.format(str(place)), COROLIB_AS_GEVENT="0").stdout == "()\n"
    assert run("-c", off.format(str(place)), COROLIB_AS_EVENTLET="1").stdout == "('eventlet', 'greenlet')\n"
    removed = run("-c", find + "from corolib.__main__ import main; main(['--remove-hook'])")
    assert removed.stdout == f"removed {hook}\n"
    assert list(place.iterdir()) == []
    removed = run("-c", find + "from corolib.__main__ import main; main(['--remove-hook'])")
    assert removed.stdout == "there was no hook\n"


def test_the_hook_goes_where_this_environment_looks() -> None:
    assert _hook._place().parent == Path(sysconfig.get_path("purelib"))


def test_children_are_told(tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text("import os\nprint(os.environ.get('COROLIB_AS_GEVENT'))\n")
    assert run("-m", "corolib", "--as-gevent", script).stdout == "1\n"
