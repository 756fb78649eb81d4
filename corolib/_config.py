"""The settings: one table, read from COROLIB_* environment variables.

A setting is read when it is first asked for, and then stays until it is assigned. Which class a word means is
known to the module that owns the class; it asks with choose(), where a path or the class itself will do as
well.
"""

import math
import os
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Any, Final, NamedTuple

__all__ = ["Config", "Setting", "config"]


class Setting(NamedTuple):
    """One row: `parse` turns text from the environment, or an assigned value, into the value, or raises
    ValueError.
    """

    name: str
    default: object
    parse: Callable[[object], object]
    meaning: str

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return "COROLIB_" + self.name.upper()


# -- how values are read: each takes text or a value that has the right type already -------------------------

_TRUE: Final = frozenset(("1", "true", "on", "yes"))
_FALSE: Final = frozenset(("0", "false", "off", "no", ""))


def _flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise ValueError("expected one of 1, true, on, yes, 0, false, off, no")


def _optional(parse: Callable[[object], object]) -> Callable[[object], object]:
    """None, or an empty text, is None."""

    def parse_or_none(value: object) -> object:
        return None if value is None or value == "" else parse(value)

    return parse_or_none


def _count(value: object) -> int:
    try:
        number = int(str(value))
    except ValueError:
        number = 0
    if number < 1:
        raise ValueError("expected a whole number, 1 or more")
    return number


def _seconds(value: object) -> float:
    try:
        number = float(str(value))
    except ValueError:
        number = math.nan
    if math.isnan(number):
        raise ValueError("expected a number of seconds")
    return number


def _names(value: object) -> tuple[str, ...]:
    """Several words: with commas between them, or any iterable of them."""
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, Iterable):
        raise ValueError("expected words with commas between them")
    names = tuple(str(part).strip() for part in parts)
    if not names or not all(names):
        raise ValueError("expected words with commas between them, found an empty one")
    return names


def _choice(value: object) -> tuple[object, ...]:
    """What choose() chooses from: words, dotted paths, objects; text with commas, one of them, or a list."""
    if isinstance(value, str):
        return _names(value)
    parts = tuple(value) if isinstance(value, list | tuple) else (value,)
    if not parts or not all(callable(part) or (isinstance(part, str) and part) for part in parts):
        raise ValueError("expected words, a path such as package.module.name, a class, or a list of these")
    return parts


_UNITS: Final = {"kb": 1 << 10, "mb": 1 << 20, "gb": 1 << 30}


def _bytes(value: object) -> int:
    text = str(value).strip().lower()
    unit = _UNITS.get(text[-2:], 1)
    try:
        number = float(text[:-2] if unit > 1 else text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise ValueError("expected a number of bytes above 0, or one with kb, mb or gb after it")
    return int(number * unit)


def _period(value: object) -> float:
    seconds = _seconds(value)
    if seconds <= 0:
        raise ValueError("expected a number of seconds above 0")
    return seconds


def _word(value: object) -> str:
    word = str(value).strip()
    if not word:
        raise ValueError("expected a word")
    return word


SETTINGS: Final[tuple[Setting, ...]] = (
    Setting(
        "resolver",
        ("thread",),
        _choice,
        "how names are resolved; the first that is available: thread, dns, block, or a class",
    ),
    Setting(
        "resolver_nameservers",
        None,
        _optional(_names),
        "addresses to ask in place of the system's name servers",
    ),
    Setting(
        "resolver_threads",
        10,
        _count,
        "native threads of the resolver `thread`; ones that are stuck do not count, up to ten times as many",
    ),
    Setting("resolver_timeout", None, _optional(_seconds), "seconds for one answer of a name server"),
    Setting("fileobject", ("posix",), _choice, "the kind of file that FileObject is: posix, thread, block"),
    Setting(
        "threadpool", ("corolib.threadpool.ThreadPool",), _choice, "the class of the thread pool of a hub"
    ),
    Setting("threadpool_size", 10, _count, "native threads in the pool of a hub"),
    Setting(
        "threadpool_idle_task_timeout", 5.0, _seconds, "seconds until an idle thread of it ends; -1: never"
    ),
    Setting("libev_backend", None, _optional(_word), "how libev polls: epoll, poll, select, kqueue"),
    Setting(
        "track_greenlet_tree",
        False,
        _flag,
        "whether a greenlet remembers who spawned it, and ten frames of where; doubles the cost of spawn",
    ),
    Setting(
        "format_context",
        ("repr",),
        _choice,
        "how an error report names what failed: repr, or a function such as pprint.pformat",
    ),
    Setting("monitor_thread", False, _flag, "whether a thread watches the main hub for being blocked"),
    Setting("max_blocking_time", 0.1, _period, "seconds after which that thread reports a blocked hub"),
    Setting("print_blocking_reports", True, _flag, "whether it prints such a report"),
    Setting("memory_monitor_period", 5.0, _period, "seconds between its looks at the memory in use"),
    Setting(
        "max_memory_usage",
        None,
        _optional(_bytes),
        "bytes in use that it reports (kb, mb and gb are understood)",
    ),
)


class Config:
    """Settings as attributes: `config.resolver`. Assigning checks the value: ValueError says what was
    expected.

    Set what you want before it is used; what has been built by then does not change. `environ` is where it
    reads from.
    """

    _environ: Mapping[str, str]
    _rows: dict[str, Setting]
    _values: dict[str, object]
    _others: Mapping[str, str]

    def __init__(
        self, settings: Iterable[Setting] = SETTINGS, environ: Mapping[str, str] = os.environ
    ) -> None:
        set_plain = super().__setattr__
        set_plain("_environ", environ)
        set_plain("_rows", {row.name: row for row in settings})
        set_plain("_values", {})
        set_plain("_others", {})

    def also_read(self, variables: Mapping[str, str]) -> None:
        """From now on, read a setting (name -> variable) from another environment variable where its own is
        not set. Replaces what was said before.
        """
        for name in variables:
            self._row(name)
        super().__setattr__("_others", dict(variables))

    @property
    def settings(self) -> dict[str, Setting]:
        """The table: name -> row."""
        return dict(self._rows)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if name not in self._values:
            row = self._row(name)
            for variable in filter(None, (row.variable, self._others.get(name))):
                text = self._environ.get(variable)
                if text is not None:
                    self._values[name] = self._parse(row, text, variable)
                    break
            else:
                self._values[name] = row.default
        return self._values[name]

    def __setattr__(self, name: str, value: object) -> None:
        row = self._row(name)
        self._values[name] = self._parse(row, value, name)

    def __delattr__(self, name: str) -> None:
        """Forget what was assigned: it is read from the environment once more."""
        self._values.pop(self._row(name).name, None)

    def set(self, name: str, value: object) -> None:
        """The same as assigning the attribute."""
        setattr(self, name, value)

    def choose(self, name: str, known: Mapping[str, Any] = MappingProxyType({})) -> Any:
        """The first entry of a setting that there is: what a word means in `known`, what a dotted path leads
        to (a word may mean one), or the object itself. ImportError if there is none.
        """
        failed = []
        for entry in getattr(self, name):
            meant = known.get(entry, entry) if isinstance(entry, str) else entry
            if not isinstance(meant, str):
                return meant
            module, _, attribute = meant.rpartition(".")
            try:
                if not module:
                    raise ImportError(f"expected {', '.join([*known, 'package.module.name'])}")
                return getattr(import_module(module), attribute)
            except (ImportError, AttributeError) as error:
                failed.append(f"{entry}: {error}")
        raise ImportError(f"config.{name}: there is none of what it names ({'; '.join(failed)})")

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._rows]

    def print_help(self) -> None:
        """Print what can be set, by which variable, and what it is now."""
        for row in self._rows.values():
            print(f"{row.name} = {getattr(self, row.name)!r}\n    {row.meaning} ({row.variable})")

    def _row(self, name: str) -> Setting:
        try:
            return self._rows[name]
        except KeyError:
            known = ", ".join(self._rows)
            raise AttributeError(f"there is no setting {name!r}; the settings are {known}") from None

    @staticmethod
    def _parse(row: Setting, value: object, source: str) -> object:
        try:
            return row.parse(value)
        except ValueError as error:
            raise ValueError(f"{source} = {value!r}: {error}") from None


#: The settings of this process.
config: Final = Config()
