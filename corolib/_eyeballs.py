"""Happy Eyeballs: connect to several addresses of a host, overlapping, and keep the first connection (RFC
8305).

A family, a route or a machine that is dead costs a plain loop its whole timeout before the next address is
tried. Here the next one is tried when nothing has come for a while, or as soon as one has failed; the others
go on.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from .event import Event
from .greenlet import Greenlet

__all__ = ["interleaved", "race"]


class Closable(Protocol):
    """What is left of the second one to arrive."""

    def close(self) -> object: ...


_R = TypeVar("_R", bound=tuple[Any, ...])
_S = TypeVar("_S", bound=Closable)


def interleaved(rows: Sequence[_R]) -> list[_R]:
    """The rows of getaddrinfo(), their families in turn (section 4): a family that is dead takes every second
    try at most. Each family's own rows stay in order, the first row is the first.
    """
    families: dict[int, list[_R]] = {}
    for row in rows:
        families.setdefault(row[0], []).append(row)
    most = max(map(len, families.values()), default=0)
    return [each[at] for at in range(most) for each in families.values() if at < len(each)]


class _Race:
    """What the attempts have brought."""

    def __init__(self) -> None:
        self.winner: Any = None
        #: By the number of the attempt.
        self.errors: dict[int, OSError] = {}
        #: Something that is no failure to connect, such as a port that is no number.
        self.broken: Exception | None = None
        self.news = Event()

    def over(self) -> bool:
        return self.winner is not None or self.broken is not None

    def attempt(self, number: int, connect: Callable[[_R], Closable], row: _R) -> None:
        """In a greenlet of its own."""
        try:
            connection = connect(row)
        except OSError as error:
            self.errors[number] = error
        except Exception as error:
            self.broken = error
        else:
            if self.winner is None:
                self.winner = connection
            else:
                connection.close()
        self.news.set()


def race(rows: Sequence[_R], connect: Callable[[_R], _S], delay: float) -> tuple[_S | None, list[OSError]]:
    """The first of `connect(row)` that returns, and the errors of those that failed before, in the order of
    their attempts; None if all did. The next attempt begins `delay` seconds after the last one, or when one
    fails.

    Switches. Attempts that are not needed any more are killed: `connect` has to close what it has begun.
    """
    state = _Race()
    attempts: list[Greenlet[None]] = []
    waiting = interleaved(rows)
    try:
        while not state.over() and len(state.errors) < len(attempts) + len(waiting):
            failed = len(state.errors)
            patience = None
            if waiting:
                attempts.append(Greenlet.spawn(state.attempt, len(attempts), connect, waiting.pop(0)))
                patience = delay
            while not state.over() and len(state.errors) == failed:
                state.news.clear()
                if not state.news.wait(patience):
                    break
        if state.broken is not None:
            raise state.broken
        winner, state.winner = state.winner, None
        return winner, [state.errors[number] for number in sorted(state.errors)]
    finally:
        for attempt in attempts:
            attempt.kill(block=False)
        if state.winner is not None:
            state.winner.close()
        state.errors.clear()  # an error refers to its frame, and that to us: no circle
