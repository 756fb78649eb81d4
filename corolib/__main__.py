"""python -m corolib: run a program with the standard library cooperative, or as if corolib were gevent.

    python -m corolib [--no-NAME ...] [-m] program [arguments]
    python -m corolib --as-gevent [--patch] [-m] program [arguments]
    python -m corolib --as-eventlet [--patch] [-m] program [arguments]
    python -m corolib --install-hook | --remove-hook
    python -m corolib --version

`corolib-run` is the same. The program is a file, with -m a module, or a command that is written in Python,
such as `gunicorn`. Under --as-gevent nothing is patched unless --patch is given: the program does that, as it
does with gevent.
"""

import os
import platform
import shutil
import sys
import sysconfig
from collections.abc import Sequence

__all__ = ["main"]

_AS = {"--as-gevent": "COROLIB_AS_GEVENT", "--as-eventlet": "COROLIB_AS_EVENTLET"}


def main(arguments: Sequence[str] | None = None) -> None:
    """Do what the arguments say (without them, those of the process). SystemExit with status 2 if they
    cannot be understood.
    """
    left = list(sys.argv[1:] if arguments is None else arguments)
    if left and left[0] in ("--install-hook", "--remove-hook"):
        if len(left) > 1:
            raise _usage(f"{left[0]} takes no arguments")
        _change_hook(left[0] == "--install-hook")
        return
    if left and left[0] in ("-h", "--help"):
        print(__doc__)
        return
    if left == ["--version"]:
        print(_version())
        return
    wanted: list[str] = []
    patch = False
    options: list[str] = []
    while left and left[0].startswith("-") and left[0] not in ("-m", "--module"):
        option = left.pop(0)
        if option in _AS:
            wanted.append(option)
        elif option == "--patch":
            patch = True
        else:
            options.append(option)
    if not left:
        raise _usage("what is to be run is missing")
    as_module = left[0] in ("-m", "--module")
    program = left[as_module:]
    if not program:
        raise _usage("the module that is to be run is missing")
    if not as_module:
        program[0] = _found(program[0])
    if options and wanted and not patch:
        raise _usage(f"{options[0]} says what is to be patched: with {wanted[0]} it needs --patch")
    if wanted:
        _stand_in(wanted)
    if patch or not wanted:
        from . import monkey  # late, as below: who installs the hook needs nothing of this

        monkey.main([*options, *(["-m"] if as_module else []), *program])
    else:
        from ._command_line import run

        run(program, as_module)


def _stand_in(wanted: Sequence[str]) -> None:
    from .compat._hook import start

    for option in wanted:
        # Its children are to be as it is, if the hook is installed.
        os.environ[_AS[option]] = "1"
    start()


def _version() -> str:
    """What a report of a fault should say first."""
    from . import __version__, _ev  # late, as above

    name = f"{sys.implementation.name} {platform.python_version()}"
    return f"corolib {__version__}, libev {_ev.version()}, {name} on {platform.system()} {platform.machine()}"


def _found(program: str) -> str:
    """The file to run: itself, or where a command written in Python is."""
    if os.path.exists(program) or os.path.dirname(program):
        return program
    path = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath)])
    command = shutil.which(program, path=path)
    if command is None:
        raise _usage(f"there is no file and no command {program}")
    with open(command, "rb") as file:
        head = file.read(256)
    if not head.startswith(b"#!") or b"python" not in head:
        raise _usage(f"{command} is not written in Python: only what is can run so")
    return command


def _change_hook(install: bool) -> None:
    from .compat._hook import install_hook, remove_hook

    if install:
        print(f"wrote {install_hook()}")
        print("Programs of this environment that run with COROLIB_AS_GEVENT=1 find corolib where they import")
        print("gevent or greenlet. `python -m corolib --remove-hook` takes it away again.")
        return
    removed = remove_hook()
    print("there was no hook" if removed is None else f"removed {removed}")


def _usage(problem: str) -> SystemExit:
    print(f"{problem}\n\n{__doc__}", file=sys.stderr)
    return SystemExit(2)


if __name__ == "__main__":
    main()
