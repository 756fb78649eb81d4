"""Builds the programs that are not in Python into `.build/`, each from one file, when the source is newer."""

import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
BUILT = HERE / ".build"
FLAGS = ("-std=c11", "-O2", "-Wall", "-Wextra", "-Werror")
#: What the compiler is told beyond that.
OPTIONS = {"libev_timers": ("-lev",), "callgrind_region": ("-shared", "-fPIC")}


def compiler() -> list[str]:
    """The command that compiles C: CC, as usual, or cc."""
    return shlex.split(os.environ.get("CC", "cc"))


def source_of(name: str) -> Path:
    """The file that a program is built from."""
    return next(HERE / f"{name}{ending}" for ending in (".c", ".go") if (HERE / f"{name}{ending}").exists())


def build_command(source: Path, target: str) -> tuple[list[str], str]:
    """What builds a program, and what to say if that is missing."""
    if source.suffix == ".go":
        return [
            "go",
            "build",
            "-o",
            target,
            str(source),
        ], "expected Go, found none (Debian: apt install golang-go)"
    command = [*compiler(), *FLAGS, "-o", target, str(source), *OPTIONS.get(source.stem, ())]
    return command, f"expected a C compiler {compiler()[0]!r}, found none (Debian: apt install gcc libc6-dev)"


def tool_version(name: str) -> str:
    """What the compiler of a program says it is."""
    command = ["go", "version"] if source_of(name).suffix == ".go" else [*compiler(), "--version"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[0]


def program(name: str) -> Path:
    """The path of a built program; builds it first if there is none or if it is out of date."""
    source, built = source_of(name), BUILT / name
    if built.exists() and built.stat().st_mtime >= source.stat().st_mtime:
        return built
    BUILT.mkdir(exist_ok=True)
    # Under a name of its own and then moved: another run may be using the old one.
    handle, temporary = tempfile.mkstemp(dir=BUILT, prefix=f"{name}.")
    os.close(handle)
    command, missing = build_command(source, temporary)
    try:
        subprocess.run(command, check=True)
        os.replace(temporary, built)
    except FileNotFoundError:
        Path(temporary).unlink()
        sys.exit(missing)
    except subprocess.CalledProcessError as error:
        Path(temporary).unlink()
        sys.exit(f"{source.name} does not compile (exit status {error.returncode})")
    return built


if __name__ == "__main__":
    for name in sys.argv[1:] or ["loadgen", "epoll_echo"]:
        print(program(name))
