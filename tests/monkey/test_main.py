"""python -m corolib.monkey: a program runs patched, and sees what it would see without."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from helpers import ROOT

SCRIPT = """
import sys, threading, time
from corolib import monkey
assert monkey.is_module_patched("threading"), monkey.saved
assert sys.modules["corolib.monkey"] is monkey
assert sys.modules["__main__"].__dict__ is globals()
assert monkey.is_object_patched("threading", "Lock")
print(__name__, __file__, sys.argv, sys.path[0])
"""


def run(*arguments: object, cwd: Path = ROOT, status: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "corolib.monkey", *map(str, arguments)],
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == status, done.stderr
    return done


def test_a_script(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    done = run(script, "--option", "x")
    assert done.stdout == f"__main__ {script} {[str(script), '--option', 'x']} {tmp_path}\n"
    assert done.stderr == ""
    assert not (tmp_path / "__pycache__").exists()


def test_a_module(tmp_path: Path) -> None:
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text("from . import other\nprint(other.__name__, __package__)\n" + SCRIPT)
    (package / "other.py").touch()
    done = run("-m", "package", "y", cwd=tmp_path)
    main = package / "__main__.py"
    assert done.stdout == f"package.other package\n__main__ {main} {[str(main), 'y']} {tmp_path}\n"


def test_a_directory_and_an_archive(tmp_path: Path) -> None:
    (tmp_path / "__main__.py").write_text(
        "from corolib.thread import LockType\nimport threading\nprint(__name__, threading.Lock is LockType)\n"
    )
    with zipfile.ZipFile(tmp_path / "program.pyz", "w") as archive:
        archive.write(tmp_path / "__main__.py", "__main__.py")
    for target in (tmp_path, tmp_path / "program.pyz"):
        assert run(target).stdout == "__main__ True\n"


def test_threads_outlive_the_last_line_of_the_script(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import pickle, threading, time\n"
        "class Mine: pass\n"
        "def body():\n"
        "    time.sleep(0.01)\n"
        "    print(type(pickle.loads(pickle.dumps(Mine()))).__name__, constant)\n"
        "constant = 'kept'\n"
        "threading.Thread(target=body).start()\n"
    )
    assert run(script).stdout == "Mine kept\n"


def test_the_status_and_the_traceback_of_the_script(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("import sys\nsys.exit(9)\n")
    run(script, status=9)
    script.write_text("def f():\n    1 / 0\nf()\n")
    done = run(script, status=1)
    assert f'File "{script}", line 2, in f' in done.stderr
    script.write_text("def\n")
    assert "SyntaxError" in run(script, status=1).stderr


def test_switches(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from corolib import monkey\n"
        "print(*(monkey.is_module_patched(name) for name in ('time', 'socket', 'threading')))\n"
    )
    assert run(script).stdout == "True True True\n"
    assert run("--no-socket", "--no-dns", script).stdout == "True False True\n"
    assert run("--time", script).stdout == "True False False\n"
    assert "patched time: sleep\n" in run("--verbose", "--time", script).stderr


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([], "what is to be run is missing"),
        (["--no-such"], "there is no option --no-such"),
        (["-m"], "missing"),
    ],
)
def test_wrong_use_is_explained(arguments: list[str], problem: str) -> None:
    done = run(*arguments, status=2)
    assert problem in done.stderr
    assert "usage: python -m corolib.monkey" in done.stderr


def test_a_script_that_is_not_there(tmp_path: Path) -> None:
    done = run(tmp_path / "missing.py", status=1)
    assert "missing.py" in done.stderr
    assert "FileNotFoundError" in done.stderr or "No such file" in done.stderr
