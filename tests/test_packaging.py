"""What a user meets first: the build, what it says when something is missing, and what it ships."""

import ast
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email import message_from_string
from importlib import metadata
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest
from helpers import ROOT, run_isolated

import corolib
from corolib import _ev


def source_tree(target: Path) -> Path:
    """A copy of what a checkout holds and a build may change."""
    built = shutil.ignore_patterns(
        "*.so", "*.o", "__pycache__", "build", "dist", "*.egg-info", ".*venv*", ".git", ".*_cache"
    )
    shutil.copytree(ROOT, target, ignore=built)
    return target


def build_ext(tree: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "setup.py", "-q", "build_ext", "--build-temp", "temp", "--build-lib", "lib"],
        cwd=tree,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
    )


def compiler_without(header: str, target: Path) -> str:
    """A compiler that does not find one header and is otherwise the real one."""
    target.write_text(
        "#!/bin/sh\ninput=$(cat)\n"
        f"case $input in *'<{header}>'*) echo 'fatal error: {header}: No such file' >&2; exit 1 ;; esac\n"
        'printf "%s\\n" "$input" | cc "$@"\n'
    )
    target.chmod(0o755)
    return str(target)


def the_sentence(done: subprocess.CompletedProcess[str]) -> str:
    """What a failed build says, which is one sentence."""
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("corolib")]
    assert len(lines) == 1, done.stderr
    assert done.stderr.rstrip().endswith(lines[0])
    return lines[0]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return source_tree(tmp_path_factory.mktemp("source") / "corolib")


def test_missing_compiler_is_one_sentence(tree: Path) -> None:
    said = the_sentence(build_ext(tree, CC="/nonexistent/cc"))
    assert "no working C compiler" in said
    assert "gcc and libc6-dev on Debian" in said


@pytest.mark.parametrize(
    ("header", "packages"),
    [
        ("ev.h", "libev-dev on Debian and Ubuntu, libev-devel on Fedora, or libev with Homebrew"),
        ("Python.h", "python3-dev on Debian and Ubuntu, python3-devel on Fedora, or python with Homebrew"),
    ],
)
def test_missing_header_is_one_sentence(tree: Path, tmp_path: Path, header: str, packages: str) -> None:
    said = the_sentence(build_ext(tree, CC=compiler_without(header, tmp_path / "cc")))
    assert f"{header} is missing" in said
    assert packages in said


@pytest.mark.parametrize(
    ("lie", "said"),
    [
        (
            "sysconfig.get_config_vars()['Py_GIL_DISABLED'] = 1",
            "does not support free-threaded builds of CPython",
        ),
        (
            "sys.implementation.name = 'pypy'",
            "corolib needs CPython, whose frames it switches: this is pypy.",
        ),
    ],
)
def test_interpreters_that_cannot_be_served_are_refused_by_the_build(lie: str, said: str) -> None:
    script = f"import runpy, sys, sysconfig\n{lie}\nrunpy.run_path('setup.py')"
    done = run_isolated(script, check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert said in done.stderr
    assert done.stdout == ""


PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def names(requirements: list[str]) -> set[str]:
    return {re.match(r"[\w-]+", requirement)[0] for requirement in requirements}


def test_the_version_stands_once() -> None:
    assert PROJECT["dynamic"] == ["version"]
    assert metadata.version("corolib") == corolib.__version__
    assert ".".join(map(str, corolib.version_info)) == corolib.__version__


@pytest.mark.parametrize("command", [["-m", "corolib"], ["-c", "import corolib.__main__ as m; m.main()"]])
def test_the_command_tells_all_versions(command: list[str]) -> None:
    done = subprocess.run([sys.executable, *command, "--version"], cwd=ROOT, capture_output=True, text=True)
    assert done.stderr == ""
    assert done.stdout == (
        f"corolib {corolib.__version__}, libev {_ev.version()}, "
        f"cpython {platform.python_version()} on {platform.system()} {platform.machine()}\n"
    )


def imported(folder: Path) -> set[str]:
    """The packages of others that modules import, at whatever depth."""
    found = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                found.add(node.module.partition(".")[0])
    return found - set(sys.stdlib_module_names) - {"corolib"}


def test_dependencies_are_what_is_imported() -> None:
    package = ROOT / "corolib"
    # What stands in for others, and adapts to them, imports those of which it is told that they are there.
    for_others = imported(package / "ext") | imported(package / "compat") | {"pytest"}
    needed = imported(package) - for_others
    assert needed == {"cffi", "dns", "h11", "httptools", "wsproto"}
    assert names(PROJECT["dependencies"]) == {"cffi", "dnspython", "httptools"}
    assert names(PROJECT["optional-dependencies"]["websocket"]) == {"h11", "wsproto"}
    # cffi's module is a part of the build; what is built by it imports the other half.
    assert imported(package / "_ev") == {"cffi"}
    assert b"_cffi_backend" in Path(_ev._libev.__file__).read_bytes()


def test_each_python_that_is_promised_has_a_table_of_what_a_thread_keeps() -> None:
    tables = {
        f"3.{path.stem.removeprefix('tstate_3')}" for path in (ROOT / "corolib/_switch").glob("tstate_3*.h")
    }
    kinds = [name.rpartition(" :: ")[2] for name in PROJECT["classifiers"] if name.startswith("Programming")]
    assert {kind for kind in kinds if re.fullmatch(r"3\.\d+", kind)} == tables
    # The policy names each of them, with a date.
    rows = re.findall(
        r"^\| (3\.\d+) \|.*\| October 20\d\d \|$", (ROOT / "docs/installing.md").read_text(), re.M
    )
    assert rows == sorted(tables)
    assert PROJECT["requires-python"] == f">={rows[0]}"


def test_the_smoke_test_finds_every_part_working() -> None:
    done = run_isolated(ROOT / "tools/smoke.py", options=("-W", "error"))
    parts = [line.split()[0] for line in done.stdout.splitlines()]
    assert parts == ["engine", "hub", "sockets", "patching", "names", "tls", "server", "corolib"]
    assert done.stderr == ""


def test_the_smoke_test_knows_the_libev_of_a_wheel_from_any_other() -> None:
    done = run_isolated(ROOT / "tools/smoke.py", "--bundled", check=False)
    assert done.returncode == 1
    assert "libev comes from" in done.stderr


def tool(name: str) -> ModuleType:
    spec = spec_from_file_location(name, ROOT / f"tools/{name}.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["no-such-python"], "no-such-python is no interpreter: there is no such program"),
        (["--sysroot", "no-such-folder", sys.executable], "there is no no-such-folder"),
        (["--sdist", "no-such.tar.gz", sys.executable], "there is no no-such.tar.gz"),
    ],
)
def test_wheels_says_at_once_what_is_not_there(arguments: list[str], said: str) -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "tools/wheels.py", *arguments], capture_output=True, text=True, cwd=ROOT
    )
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"wheels: {said}\n")


def test_empty_root_says_why_it_cannot_be_done() -> None:
    done = subprocess.run([ROOT / "tools/empty-root", "no.whl"], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (77, "", "empty-root: there is no no.whl\n")


@pytest.mark.ci
@pytest.mark.hang_after(900)
def test_what_is_distributed(tmp_path: Path) -> None:
    """Source and wheel are built, and the wheel works where there is nothing else."""
    wheels = tool("wheels")
    wheels.main(["--out", str(tmp_path), sys.executable])
    [sdist] = tmp_path.glob("*.tar.gz")
    [wheel] = tmp_path.glob("*.whl")
    the_source_holds_what_it_takes_to_build_and_test(sdist)
    the_wheel_holds_what_is_used_and_no_more(wheel)
    # So are symbols that the C library it was built for does not have, and a tag that promises too much.
    (tmp_path / "old/lib/machine").mkdir(parents=True)
    (tmp_path / "old/lib/machine/libc.so.6").write_bytes(b"GLIBC_2.2.5\0GLIBC_2.3\0GLIBC_2.3.4")
    with pytest.raises(wheels.Failed, match=r"libc\.so\.6 is older"):
        wheels.deciding(wheels.Tools(), wheel, tmp_path / "old")
    lying = wheel.rename(tmp_path / re.sub("manylinux_2_[0-9]+", "manylinux_2_5", wheel.name))
    with pytest.raises(wheels.Failed, match="that is not what its tag says"):
        wheels.deciding(wheels.Tools(), lying)


def the_source_holds_what_it_takes_to_build_and_test(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    sources = {
        str(path.relative_to(ROOT))
        for kind in ("*.c", "*.h", "*.S", "*.py", "*.pyi", "py.typed")
        for path in (ROOT / "corolib").rglob(kind)
        if not path.name.startswith("_libev.c")
    }
    assert sources <= names
    assert {
        *("LICENSE", "LICENSE.libev", "README.md", "SECURITY.md", "setup.py", "pyproject.toml"),
        *("tests/conftest.py", "tools/setup-env.sh", "tools/wheels.py", "demo", "test"),
    } <= names
    assert not [name for name in names if name.endswith((".so", ".pyc", ".o"))]
    # Nothing that somebody has built, or left lying about, in the checkout.
    if (ROOT / ".git").exists():
        command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
        kept = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.splitlines()
        folders = {str(parent) for name in kept for parent in Path(name).parents}
        made = {"PKG-INFO", "setup.cfg", "", "corolib.egg-info"}
        strange = names - set(kept) - folders - made
        assert not [name for name in strange if not name.startswith("corolib.egg-info/")]


def the_wheel_holds_what_is_used_and_no_more(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        [about] = [archive.read(name).decode() for name in names if name.endswith(".dist-info/METADATA")]
    assert {
        *("corolib/py.typed", "corolib/_switch/capi.h"),
        *("corolib/_switch/_engine.pyi", "corolib/_hub/_core.pyi"),
        *("corolib/server/_http/_core.pyi", "corolib/_ev/_libev.pyi"),
    } <= names
    native = {name.split(".")[0] for name in names if name.endswith(".so") and name.startswith("corolib/")}
    assert native == {
        *("corolib/_switch/_engine", "corolib/_hub/_core"),
        *("corolib/server/_http/_core", "corolib/_ev/_libev"),
    }
    [bundled] = [name for name in names if name.startswith("corolib.libs/") and not name.endswith("/")]
    assert "libev" in bundled
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"corolib", "corolib.libs"}
    assert not [name for name in names if name.endswith((".c", ".S", ".o"))]
    licenses = {name.rpartition("licenses/")[2] for name in names if "licenses/LICENSE" in name}
    assert licenses == {"LICENSE", "LICENSE.libev"}
    told = message_from_string(about)
    assert told["Version"] == corolib.__version__
    assert told["License-Expression"] == "MIT"
    assert set(told.get_all("Provides-Extra")) == set(PROJECT["optional-dependencies"])
    always = [line for line in told.get_all("Requires-Dist") if "extra ==" not in line]
    assert {re.match(r"[\w-]+", line)[0] for line in always} == {"cffi", "dnspython", "httptools"}


@pytest.mark.slow
@pytest.mark.hang_after(1800)
def test_a_checkout_installs_by_pip_alone(tree: Path, tmp_path: Path) -> None:
    """As the first page says; and an extra can be added later, though no index has corolib."""
    subprocess.run([sys.executable, "-m", "venv", tmp_path / ".venv"], check=True)
    python = tmp_path / ".venv" / "bin" / "python"
    pip = [python, "-m", "pip", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--quiet", tree], cwd=tmp_path, check=True)
    subprocess.run([python, "-W", "error", ROOT / "tools" / "smoke.py"], cwd=tmp_path, check=True)
    for program in (tree / "examples" / "docs").glob("*.py"):
        shutil.copy(program, tmp_path)
    subprocess.run([python, "first_program.py"], cwd=tmp_path, check=True)
    subprocess.run([*pip, "install", "--quiet", "corolib[websocket]"], cwd=tmp_path, check=True)
    subprocess.run([python, "-c", "import corolib.websocket"], cwd=tmp_path, check=True)
    subprocess.run([*pip, "check"], check=True)


@pytest.mark.slow
@pytest.mark.hang_after(900)
def test_a_wheel_is_built_against_an_old_debian(tmp_path: Path) -> None:
    if shutil.which("apt-get") is None:
        pytest.skip("there is no apt, by which tools/sysroot reads Debian's archive")
    # Its parent is not there in a fresh checkout either.
    sysroot = tmp_path / ".venvs" / "sysroot"
    subprocess.run([ROOT / "tools/sysroot", sysroot], check=True)
    assert list((sysroot / "lib").glob("*/libc-2.31.so"))
    links = [path for path in sysroot.rglob("*") if path.is_symlink()]
    assert links
    # Among them libpthread.so, by which a wheel would be linked with the machine's own.
    assert [path for path in links if not path.resolve().is_relative_to(sysroot)] == []
    tool("wheels").main(["--out", str(tmp_path / "dist"), "--sysroot", str(sysroot), sys.executable])
    [wheel] = (tmp_path / "dist").glob("*.whl")
    assert re.search(r"-manylinux_2_28_(x86_64|aarch64)\.whl$", wheel.name)


@pytest.mark.slow
@pytest.mark.hang_after(1800)
def test_the_wheel_works_in_a_debian_that_has_nothing_else(tmp_path: Path) -> None:
    suites = {(3, 11): "bookworm", (3, 13): "trixie"}
    if sys.version_info[:2] not in suites:
        pytest.skip(f"no Debian has CPython {platform.python_version()} as its python3")
    tool("wheels").main(["--out", str(tmp_path), sys.executable])
    [wheel] = tmp_path.glob("*.whl")
    done = subprocess.run([ROOT / "tools/empty-root", wheel], capture_output=True, text=True)
    if done.returncode == 77:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].startswith(f"{wheel.name} works in an empty Debian")


def shell(script: str, *args: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(ROOT / script), *args], cwd=cwd, env={**os.environ, **env}, capture_output=True, text=True
    )


@pytest.mark.parametrize("script", ["demo", "test", "check"])
def test_scripts_refuse_an_interpreter_that_is_not_there(script: str, tmp_path: Path) -> None:
    done = shell(script, cwd=tmp_path, PYTHON="no-such-python")
    assert done.returncode == 1
    assert done.stderr == "PYTHON is 'no-such-python': there is no such program.\n"


def test_scripts_refuse_an_interpreter_that_is_too_old(tmp_path: Path) -> None:
    old = tmp_path / "python"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 3.9.2\nexit 1\n')
    old.chmod(0o755)
    done = shell("test", cwd=tmp_path, PYTHON="./python")
    assert done.returncode == 1
    assert (
        done.stderr == "corolib needs Python 3.11 or newer, found Python 3.9.2: set PYTHON to a newer one.\n"
    )


def test_scripts_say_what_is_needed_where_there_is_no_apt(tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("sh", "dirname", "cat", "id", "sed", "sort", "find", "cksum"):
        (tools / name).symlink_to(shutil.which(name) or name)
    done = shell(
        "test", cwd=tmp_path, PATH=str(tools), PYTHON=sys.executable, COROLIB_VENV=str(tmp_path / "venv")
    )
    assert done.returncode == 1
    assert "corolib needs gcc libc6-dev" in done.stderr
    assert "Fedora" in done.stderr
