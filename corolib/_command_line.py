"""python -m corolib.monkey: which program is to be run how, and running it."""

import sys
from collections.abc import Collection, Sequence
from types import ModuleType
from typing import NamedTuple

__all__ = ["Request", "read", "run"]


class Request(NamedTuple):
    """What the command line says."""

    #: Switch -> on or off, of those that are named.
    switches: dict[str, bool]
    verbose: bool
    #: Run a module, and no file.
    as_module: bool
    #: The script, module, directory or archive, and its arguments.
    program: list[str]


def read(arguments: Sequence[str], switches: Collection[str], ignored: Collection[str]) -> Request:
    """`switches` are the names that --NAME and --no-NAME may have, `ignored` names may as well.

    What cannot be understood is told on stderr, and is SystemExit(2).
    """
    left = list(arguments)
    chosen: dict[str, bool] = {}
    as_module = verbose = False
    while left and left[0].startswith("-"):
        option = left.pop(0)
        name = option.removeprefix("--").removeprefix("no-").replace("-", "_")
        if option in ("-m", "--module"):
            as_module = True
            break
        if option in ("-v", "--verbose"):
            verbose = True
        elif option.startswith("--") and (name in switches or name in ignored):
            chosen[name] = not option.startswith("--no-")
        else:
            raise _usage(f"there is no option {option}", switches)
    if not left:
        raise _usage("what is to be run is missing", switches)
    return Request(chosen, verbose, as_module, left)


def _usage(problem: str, switches: Collection[str]) -> SystemExit:
    print(
        f"{problem}\n"
        "usage: python -m corolib.monkey [--no-NAME ...] [-v] [-m] script.py [arguments]\n"
        f"       NAME is one of {', '.join(switches)};\n"
        "       --NAME patches that one only; -m runs a module; -v tells what is patched",
        file=sys.stderr,
    )
    return SystemExit(2)


def run(program: Sequence[str], as_module: bool) -> None:
    """Run a script, module, directory or archive as the main module.

    With its own arguments and module path.
    """
    import os.path
    import runpy

    target = program[0]
    main_module = ModuleType("__main__")
    sys.argv[:] = program
    # Stays there after the program's last line: threads may still run, and what they pickle names __main__.
    sys.modules["__main__"] = main_module
    if as_module:
        sys.path[0] = os.getcwd()
        # What `python -m` itself calls: it runs the module in the __main__ that it finds.
        runpy._run_module_as_main(target)  # type: ignore[attr-defined]  # private
    elif os.path.isdir(target) or not os.path.isfile(target) or _is_archive(target):
        runpy.run_path(target, run_name="__main__")
    else:
        sys.path[0] = os.path.dirname(os.path.abspath(target))
        with open(target, "rb") as file:
            source = file.read()
        vars(main_module).update(__file__=target, __builtins__=sys.modules["builtins"], __cached__=None)
        exec(compile(source, target, "exec"), vars(main_module))


def _is_archive(path: str) -> bool:
    with open(path, "rb") as file:
        return file.read(4) == b"PK\x03\x04"
