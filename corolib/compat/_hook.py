"""What stands in for gevent in every program of an environment that is started with COROLIB_AS_GEVENT=1.

Python runs what it finds in `.pth` files of its site-packages when it starts. One line there looks at the
environment, and imports this package only if it is asked to. It is put there by hand and taken away by hand:
`python -m corolib --install-hook` and `--remove-hook`.
"""

import os
import sysconfig
from pathlib import Path

from . import install

__all__ = ["AS", "asked_for", "install_hook", "remove_hook", "start"]

#: What each variable stands for.
AS = {
    "COROLIB_AS_GEVENT": ("gevent", "greenlet"),
    "COROLIB_AS_EVENTLET": ("eventlet", "greenlet"),
}
# What is made on import, in the order of their names: an installation to edit corolib in place comes first.
_FILE = "corolib-as-gevent.pth"
_LINE = (
    f"import os; any(map(os.environ.get, {list(AS)})) "
    "and __import__('corolib.compat._hook').compat._hook.start()\n"
)
_OFF = ("", "0", "false", "off", "no")


def asked_for() -> list[str]:
    """The libraries that the environment asks corolib to stand in for."""
    names = [
        name
        for variable, names in AS.items()
        if os.environ.get(variable, "").strip().lower() not in _OFF
        for name in names
    ]
    return list(dict.fromkeys(names))


def start() -> None:
    """At the start of an interpreter: install() what the environment asks for."""
    names = asked_for()
    if names:
        install(names)


def _place() -> Path:
    return Path(sysconfig.get_path("purelib")) / _FILE


def install_hook() -> Path:
    """Write the file into this environment's site-packages; its path. OSError if that cannot be written."""
    place = _place()
    place.write_text(_LINE)
    return place


def remove_hook() -> Path | None:
    """Take the file away; its path, or None if there was none."""
    place = _place()
    if not place.exists():
        return None
    place.unlink()
    return place
