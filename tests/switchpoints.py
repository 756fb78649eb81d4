"""Runs a scenario once for each of its switch points, with something happening to its subject there.

A scenario is a generator function that takes a Run. Up to its first `yield` it makes objects and greenlets,
one of them the subject; at each `yield` the hub runs until nothing can happen any more (time is virtual and
passes by itself); what follows checks that nothing was lost: items in = items out + items left, all units of
a semaphore back, nobody waiting, no deadline and no watcher left.

`at_each_switch` counts the switches of an undisturbed run, then plays the scenario again for each of them and
for each way to interrupt the subject at that moment: a kill, an exception of its own, a Timeout, both at
once, a throw() from another greenlet, or all time limits running out.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from corolib import Greenlet, GreenletExit, Timeout, get_hub, getcurrent, kill, killall, spawn_raw
from corolib._hub import interrupt
from corolib._switch import add_switch_hook, remove_switch_hook
from corolib.testing import VirtualClock

#: Longer than anything in a scenario: the limit of a subject that nothing else would end.
FAR = 1e9
#: By so much time goes on where all limits of a scenario are to run out at once.
PAST_ALL_LIMITS = 1e6


class Boom(BaseException):
    """What is thrown into a subject; nothing but the harness catches it."""


def without(*ways: Callable[["Run"], None]) -> Callable[[Any], Any]:
    """Marks a scenario: these ways do not fit it."""

    def mark(scenario: Any) -> Any:
        scenario.without = ways
        return scenario

    return mark


def patient(seconds: float) -> Callable[[Any], Any]:
    """Marks a scenario that talks to the kernel: it gets so much real time before time goes on."""

    def mark(scenario: Any) -> Any:
        scenario.patience = seconds
        return scenario

    return mark


class Run:
    """One run of a scenario. `outcome` is how the subject ended: "done", "killed", "boom" or "timeout"."""

    def __init__(self) -> None:
        self.subject_greenlet: Greenlet | None = None
        self.outcome: str | None = None
        self.others: list[Greenlet] = []
        self.errors: list[BaseException] = []
        self.limit: Timeout | None = None
        self.result: Any = None
        self.limits_ran_out = False

    # -- for scenarios ---------------------------------------------------------------------------------------

    def subject(self, function: Callable[..., Any], *args: Any) -> Greenlet:
        """Whom it happens to."""
        assert self.subject_greenlet is None
        self.subject_greenlet = Greenlet.spawn(self._be_subject, function, *args)
        return self.subject_greenlet

    def spawn(self, function: Callable[..., Any], *args: Any) -> Greenlet:
        """Somebody else, who must end in peace."""
        made = Greenlet.spawn(function, *args)
        self.others.append(made)
        return made

    @property
    def done(self) -> bool:
        """Whether the subject has come to its end undisturbed."""
        return self.outcome == "done"

    # -- inside ----------------------------------------------------------------------------------------------

    def _be_subject(self, function: Callable[..., Any], *args: Any) -> None:
        self.limit = Timeout(FAR)
        self.outcome = "killed"
        try:
            with self.limit:
                self.result = function(*args)
            self.outcome = "done"
        except Boom:
            self.outcome = "boom"
        except Timeout as error:
            assert error is self.limit, "a Timeout of somebody else"
            self.outcome = "timeout"

    def _failed(self, context: object, kind: Any, error: BaseException, tb: Any) -> None:
        """In place of the hub's error handler."""
        if not isinstance(error, Boom | GreenletExit) and error is not self.limit:
            self.errors.append(error)


def by_kill(run: Run) -> None:
    kill(run.subject_greenlet)


def by_error(run: Run) -> None:
    run.subject_greenlet.kill(Boom(), block=False)


def by_timeout(run: Run) -> None:
    """As if its timer had fired just now."""
    limit = run.limit
    if limit is not None and limit.pending:
        limit.timer.stop()
        interrupt(*limit._target)


def by_both(run: Run) -> None:
    by_timeout(run)
    by_error(run)


def by_throw(run: Run) -> None:
    """At once, when the thrower has its turn, whatever the subject has been given by then."""

    def throw() -> None:
        subject = run.subject_greenlet
        if not subject.ready() and subject is not getcurrent():
            subject.throw(Boom())

    spawn_raw(throw)


def by_limits(run: Run) -> None:
    run.limits_ran_out = True
    get_hub().move_clock(PAST_ALL_LIMITS)


WAYS = (by_kill, by_error, by_timeout, by_both, by_throw, by_limits)
#: First in first out, and some orders that are not.
SEEDS = (None, *range(8))


@contextmanager
def _at_switch(number: int, act: Callable[[], None], count: list[int]) -> Iterator[None]:
    """Calls act() right after the switch of this number; counts them all."""

    def hook(event: str, ends: tuple[Any, Any]) -> None:
        count[0] += 1
        if count[0] == number:
            act()

    add_switch_hook(hook)
    try:
        yield
    finally:
        remove_switch_hook(hook)


def _rest(run: Run) -> None:
    """Until nothing can happen any more. False would be a watcher, a timer or a job that was left."""
    assert get_hub().join(timeout=10 * FAR), "something outside is still waited for"
    if run.errors:
        raise run.errors[0]


def play(
    scenario: Callable[[Run], Iterator[None]], way: Callable[[Run], None] | None, at: int, seed: int | None
) -> tuple[Run, int]:
    """One run: the Run, and how many switches it had. In a thread that is in the main greenlet."""
    hub = get_hub()
    run = Run()
    count = [0]

    def act() -> None:
        if way is not None and run.subject_greenlet is not None and not run.subject_greenlet.ready():
            way(run)

    hub.handle_error = run._failed  # type: ignore[method-assign]
    hub.shuffle(seed)
    try:
        steps = scenario(run)
        next(steps)
        assert run.subject_greenlet is not None, "a scenario has a subject"
        with _at_switch(at, act, count):
            _rest(run)
        for _ in steps:
            _rest(run)
        assert run.subject_greenlet.ready(), "the subject is stuck"
        for other in run.others:
            assert other.ready(), f"{other!r} is stuck"
            if other.exception is not None:
                raise other.exception
        assert hub.parked_count == 0, hub.parked()
        assert hub.deadline_count == 0
    finally:
        hub.shuffle(None)
        del hub.handle_error
        killall([each for each in [run.subject_greenlet, *run.others] if each is not None])
    return run, count[0]


def ways_of(scenario: Any) -> list[Callable[[Run], None]]:
    """In which ways its subject can be disturbed."""
    return [way for way in WAYS if way not in getattr(scenario, "without", ())]


def clock_of(scenario: Any) -> VirtualClock:
    return VirtualClock(patience=getattr(scenario, "patience", 0.0), patch_time=False)


def at_each_switch(
    scenario: Callable[[Run], Iterator[None]],
    seeds: Iterable[int | None] = SEEDS,
) -> None:
    """See above. An exception that leaves says in a note where it came from."""
    ways = ways_of(scenario)
    with clock_of(scenario):
        for seed in seeds:
            run, total = play(scenario, None, 0, seed)
            assert run.done, f"undisturbed, the subject ended as {run.outcome}"
            assert total > 2, "there is no switch to interrupt anybody at"
            for way in ways:
                for at in range(1, total + 1):
                    try:
                        play(scenario, way, at, seed)
                    except BaseException as error:
                        error.add_note(
                            f"{scenario.__name__}: {way.__name__} at switch {at} of {total}, {seed=}"
                        )
                        raise
