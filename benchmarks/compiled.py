"""Builds the C programs into `.build/`, each from one file, when the source is newer."""

import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
BUILT = HERE / ".build"
FLAGS = ("-std=c11", "-O2", "-Wall", "-Wextra", "-Werror")


def compiler() -> list[str]:
    """The command that compiles: CC, as usual, or cc."""
    return shlex.split(os.environ.get("CC", "cc"))


def compiler_version() -> str:
    """What the compiler says it is."""
    return subprocess.run(
        [*compiler(), "--version"], check=True, capture_output=True, text=True
    ).stdout.splitlines()[0]


def program(name: str) -> Path:
    """The path of a built C program; builds it first if there is none or if it is out of date."""
    source, built = HERE / f"{name}.c", BUILT / name
    if built.exists() and built.stat().st_mtime >= source.stat().st_mtime:
        return built
    BUILT.mkdir(exist_ok=True)
    # Under a name of its own and then moved: another run may be using the old one.
    handle, temporary = tempfile.mkstemp(dir=BUILT, prefix=f"{name}.")
    os.close(handle)
    try:
        subprocess.run([*compiler(), *FLAGS, "-o", temporary, str(source)], check=True)
        os.replace(temporary, built)
    except FileNotFoundError:
        Path(temporary).unlink()
        sys.exit(f"expected a C compiler {compiler()[0]!r}, found none (Debian: apt install gcc libc6-dev)")
    except subprocess.CalledProcessError as error:
        Path(temporary).unlink()
        sys.exit(f"{source.name} does not compile (exit status {error.returncode})")
    return built


if __name__ == "__main__":
    for name in sys.argv[1:] or ["loadgen", "epoll_echo"]:
        print(program(name))
