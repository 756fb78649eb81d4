"""Random programs that get stuck, and a plain model that says who of it is deadlocked.

A program is some greenlets with scripts over shared locks, events, queues and semaphores. It is run until
nobody moves. Each greenlet notes what it is about to do before it does it, and what it owns; of that alone
the model knows. It asks of each that stands: if all who can still move did all they could for the others
(gave up what they hold, set every event, ended), would it move? It does so by trying, round after round,
where the graph under test walks along holders.

    python tests/waitgraphs.py PROGRAMS [FIRST_SEED]
"""

import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from corolib import Timeout, _hub
from corolib._switch import getcurrent, greenlet
from corolib._waitgraph import WaitGraph
from corolib.errors import LoopExit
from corolib.event import Event
from corolib.greenlet import Greenlet, joinall
from corolib.hub import all_hubs, get_hub, sleep
from corolib.lock import RLock, Semaphore
from corolib.queue import Queue

#: How a greenlet can stand without being stuck: something outside will end its wait.
ALIVE = ("nap", "timed", "timeout")
OWNED = ("acquire", "acquire", "acquire", "release", "join")
OTHERS = ("wait", "set", "get", "put", "take", "give")


class World:
    """One program, what is known of it, and its greenlets."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        few = self.random.randint
        self.locks = [RLock() for _ in range(few(1, 4))]
        self.events = [Event() for _ in range(few(1, 2))]
        self.queues = [Queue(1) for _ in range(few(1, 2))]
        self.semaphores = [Semaphore(1) for _ in range(few(1, 2))]
        #: Half of the programs have greenlets that something outside will wake.
        self.alive_rate = self.random.choice((0.0, 0.0, 0.08, 0.2))
        #: And half are about locks and ends, which have owners.
        self.kinds = self.random.choice((OWNED, (*OWNED, *OWNED, *OTHERS)))
        self.owners: dict[int, Greenlet[None]] = {}
        self.standing: dict[greenlet, tuple[str, Any]] = {}
        self.done: set[greenlet] = set()
        count = few(2, 7)
        self.greenlets = [Greenlet(self.run, self.script()) for _ in range(count)]

    def script(self) -> list[tuple[str, Any]]:
        pick = self.random
        script: list[tuple[str, Any]] = []
        for _ in range(pick.randint(1, 6)):
            if pick.random() < self.alive_rate:
                script.append((pick.choice(ALIVE), pick.randrange(len(self.locks))))
                continue
            kind = pick.choice(self.kinds)
            pool = {"join": range(2, 9), "wait": self.events, "set": self.events, "get": self.queues}
            pool |= {"put": self.queues, "take": self.semaphores, "give": self.semaphores}
            script.append((kind, pick.choice(pool.get(kind, range(len(self.locks))))))
            if pick.random() < 0.5:
                script.append(("yield", None))
        return script

    # -- running it ------------------------------------------------------------------------------------------

    def run(self, script: list[tuple[str, Any]]) -> None:
        me = getcurrent()
        try:
            for kind, what in script:
                self.standing[me] = kind, what
                self.step(me, kind, what)
                del self.standing[me]
            # Some end with what they hold: then it is lost.
            if self.random.random() < 0.6:
                for lock, owner in list(self.owners.items()):
                    if owner is me:
                        self.leave(lock)
        finally:
            self.done.add(me)

    def step(self, me: Any, kind: str, what: Any) -> None:
        if kind == "yield":
            sleep(0)
        elif kind == "acquire":
            self.locks[what].acquire()
            self.owners[what] = me
        elif kind == "release":
            if self.owners.get(what) is me:
                self.leave(what)
        elif kind == "wait":
            what.wait()
        elif kind == "set":
            what.set()
        elif kind == "join":
            others = [each for each in self.greenlets if each is not me]
            target = others[what % len(others)]
            self.standing[me] = "join", target
            target.join()
        elif kind == "get":
            what.get()
        elif kind == "put":
            what.put(None)
        elif kind == "take":
            what.acquire()
        elif kind == "give":
            what.release()
        elif kind == "nap":
            _hub.park("nap", external=True)
        elif kind == "timed":
            if self.locks[what].acquire(timeout=1000):
                self.owners[what] = me
        elif kind == "timeout":
            with Timeout(1000):
                self.locks[what].acquire()
                self.owners[what] = me

    def leave(self, lock: int) -> None:
        while self.locks[lock]._is_owned():
            self.locks[lock].release()
        del self.owners[lock]

    # -- the model -------------------------------------------------------------------------------------------

    def stuck(self) -> set[greenlet]:
        """Who is deadlocked, if nobody but these greenlets moves."""
        stuck = set(self.standing)
        moved = True
        while moved:
            moved = False
            for each in list(stuck):
                if self.would_move(*self.standing[each], movers=set(self.standing) - stuck):
                    stuck.remove(each)
                    moved = True
        return stuck

    def would_move(self, kind: str, what: Any, movers: set[greenlet]) -> bool:
        if kind in ALIVE:
            return True
        if kind == "acquire":
            return self.owners.get(what) in movers
        if kind == "join":
            return what in movers
        return bool(movers)

    def next_of(self, each: greenlet) -> greenlet | None:
        """The one that alone could free it."""
        kind, what = self.standing[each]
        return self.owners.get(what) if kind == "acquire" else what if kind == "join" else None

    def circles(self, stuck: set[greenlet]) -> set[frozenset[greenlet]]:
        found = set()
        for each in stuck:
            walk = [each]
            while (following := self.next_of(walk[-1])) in stuck and following not in walk:
                walk.append(following)
            if following is each:
                found.add(frozenset(walk))
        return found

    def settled(self) -> bool:
        """Whether none of those that stand could go on just like that: what it wants is not there."""
        for each, (kind, what) in self.standing.items():
            here = {
                "acquire": lambda what=what, each=each: self.owners.get(what) in (None, each),
                "join": lambda what=what: what in self.done,
                "wait": lambda what=what: what.is_set(),
                "get": lambda what=what: bool(what.qsize()),
                "put": lambda what=what: not what.qsize(),
                "take": lambda what=what: what.counter > 0,
            }.get(kind, lambda: False)
            if kind in ("yield", "set", "give", "release") or here():
                return False
        return True

    def end(self) -> None:
        for each in self.greenlets:
            each.kill(block=False)
        joinall(self.greenlets)


def quiet(then: Callable[[], None]) -> None:
    """In the hub: `then()` once nothing is ready."""
    hub = get_hub()
    if hub.ready_count:
        hub.run_callback(quiet, then)
    else:
        then()


def circles_of(graph: WaitGraph) -> set[frozenset[greenlet]]:
    return {frozenset(wait.greenlet for wait in circle) for circle in graph.cycles}


def check(seed: int, count: Counter[str]) -> Iterator[str]:
    """Run the program of a seed, and count what there was; every difference from the model, in words."""
    world = World(seed)
    for each in world.greenlets:
        each.start()
    main = getcurrent()
    seen: list[WaitGraph] = []

    def look() -> None:
        seen.append(WaitGraph(all_hubs()))
        if any(kind in ALIVE for kind, _ in world.standing.values()):
            _hub.wake(main, "looked")

    get_hub().run_callback(quiet, look)
    world.standing[main] = "park", None
    try:
        woken = _hub.park("main")
        exit = None
    except LoopExit as error:
        woken, exit = None, error
    if not world.settled():
        yield f"somebody could still move: {world.standing}"
    stuck = world.stuck()
    circles = world.circles(stuck)
    count.update(programs=1, waiting=len(world.standing), deadlocked=len(stuck), circles=len(circles))
    count["partly deadlocked"] += 0 < len(stuck) < len(world.standing)
    count["LoopExit"] += exit is not None
    found = {wait.greenlet for wait in seen[0].deadlocked}
    if found != stuck:
        yield f"false: {found - stuck}, missed: {stuck - found}, of {world.standing}"
    if circles_of(seen[0]) != circles:
        yield f"circles: {seen[0].cycles}, expected {circles}"
    if exit is not None:
        # What the hub has found by itself: all that stand, main among them.
        if stuck != set(world.standing):
            yield f"a false LoopExit: {set(world.standing) - stuck} could still move"
        graph: Any = exit.graph
        if {wait.greenlet for wait in graph} != stuck or {
            wait.greenlet for wait in graph.deadlocked
        } != stuck:
            yield f"LoopExit names {graph.deadlocked}, not {stuck}"
        if circles_of(graph) != circles:
            yield f"circles of LoopExit: {graph.cycles}, expected {circles}"
    elif woken != "looked" or main in stuck:
        yield f"no LoopExit, though nobody could move: {world.standing}"
    del world.standing[main]
    # Whoever can move does; who was called deadlocked must stay where it is.
    before = {wait.greenlet: wait._turn for wait in seen[0].deadlocked}
    for each in list(world.standing):
        if world.standing[each][0] == "nap":
            _hub.wake(each)
    for _ in range(3):
        get_hub().run_callback(quiet, lambda: _hub.wake(main))
        _hub.park("main")
    after = {row[0]: row[6] for row in _hub.waits(get_hub())}
    moved = [each for each, turn in before.items() if each is not main and after.get(each) != turn]
    if moved:
        yield f"called deadlocked, and moved: {moved}"
    world.end()


def run(programs: int, first: int = 0) -> Counter[str]:
    """How many programs, greenlets that stood in them, deadlocks and circles there were. AssertionError at
    the first difference.
    """
    count: Counter[str] = Counter()
    for seed in range(first, first + programs):
        problems = list(check(seed, count))
        assert not problems, f"seed {seed}: " + "\n".join(problems)
    return count


if __name__ == "__main__":
    print(run(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0))
