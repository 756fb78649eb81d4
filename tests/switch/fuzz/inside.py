"""Operations that move a greenlet into constructs and out of them; and the bursts, that run in them."""

from burst import Burst, storm
from levels import LEVELS, shared_generator
from nodes import SUSPENDED, Raised, Thrown

MOST_LEVELS = 24
MOST_WEIGHT = 550  # Python frames of one greenlet; the recursion limit is 1000 at least


def enter(w, a, b, c, d):
    me, model = w.me, w.model
    kind = list(LEVELS)[a % len(LEVELS)]
    depth = b % 40 if b % 8 else b % 300
    if len(me.levels) >= MOST_LEVELS or me.weight() + depth > MOST_WEIGHT:
        return
    facts = {}
    if kind == "recurse":
        facts = {"depth": depth, "weight": 6 + depth}
    elif kind in ("handling", "finally"):
        facts = {"handled": Raised(Thrown(kind))}
    elif kind == "finalizer":
        # Nested deeper than 50 the interpreter puts a deallocation off, until it is out of all nests.
        nest = 1 if me.inside("finalizer") else 25 if me.inside("weak") else 60
        facts = {"nest": min(nest, (1, 25, 60)[c % 3])}
    elif kind == "context":
        entered = w.contexts[b % len(w.contexts)]
        if entered.entered:
            try:
                entered.real.run(int)
            except RuntimeError:
                return
            w.fail("a context could be entered twice")
        entered.entered = True
        facts = {"entered": entered, "previous": me.context}
        me.context = entered
    elif kind == "collect":
        # On a lane that others share it would be a matter of lanes who can be switched to meanwhile.
        if model.collecting or me.kind not in ("main", "pinned"):
            return
        model.collecting, model.collector = True, me
    elif kind == "signal" and w.turn:
        return
    LEVELS[kind](w, w.push(kind, **facts))


def leave(w, a, b, c, d):
    if not w.me.levels:
        return None
    level = w.model.leave(w.me)
    if level.kind == "finally":
        w.model.unwind(w.t, w.me, level.handled)
    return True


class Generator:
    def __init__(self, w, handled):
        self.state, self.handled = "new", handled
        self.real = shared_generator(w, handled)


def generator(w, a, b, c, d):
    """Take a generator further that others may have started, or may be in."""
    me, place = w.me, a % len(w.generators)
    if len(me.levels) >= MOST_LEVELS or me.weight() > MOST_WEIGHT:
        return
    one = w.generators[place]
    if one is None or one.state == "finished":
        if one is not None:
            w.check(next(one.real, one) is one, "a finished generator went on")
        w.generators[place] = one = Generator(w, Raised(Thrown("generator")) if b % 2 else None)
    if one.state == "executing":
        w.check(one.real.gi_running, "a generator that was switched out of is not running")
        try:
            one.real.throw(Thrown) if b % 4 == 1 else one.real.close() if b % 4 == 2 else next(one.real)
        except ValueError:
            w.did["generator executing"] += 1
            return
        w.fail("a generator that is executing was taken further")
    one.state = "executing"
    level = w.push("generator", handled=one.handled, generator=one)
    next(one.real)
    w.check(level not in w.me.levels, "a generator has come back, its level is still there")


def close(w, a, b, c, d):
    one = w.generators[a % len(w.generators)]
    if one is None or one.state != "suspended":
        return
    one.state = "finished"
    if b % 2:
        one.real.close()
    else:
        instance = Thrown("into a generator")
        try:
            one.real.throw(instance)
        except Thrown as error:
            w.check(error is instance, "a generator raised something else")
    w.check(one.real.gi_frame is None, "a closed generator has a frame")


# --- bursts


def quiet(w):
    return all(listener.mode is None for listener in w.t.listeners())


def burst(w, a, b, c, d):
    t, me = w.t, w.me
    if me.label not in w.real or not quiet(w):
        return
    members = [n for n in w.slots if n is not None and n.thread is t and n.state == SUSPENDED]
    if not members:
        return
    first = a % len(members)
    count = 1 + (b % 3 if b % 2 else b % 40)
    members = [*members[first:], *members[:first]][:count]
    listeners = len(t.listeners())
    watched = listeners or t.profiled or t.traced
    laps = max(1, (500 if watched else 20_000 + 2 * c) // (len(members) + 1))
    w.reap()
    if t.doomed:
        return
    ring = [me, *members]
    for n, member in enumerate(members, 1):
        member.holds = (ring[(n + 1) % len(ring)],)
        member.parks += 1
        member.chain = None
    run = Burst(w, [n.label for n in ring], laps)
    w.bursting, w.counted = True, 0
    got = run.lead()
    w.bursting = False
    w.check(got == laps * len(ring), f"the ring came to {got}, expected {laps * len(ring)}")
    switches = got + 2 * len(members)
    w.model.switches += switches
    w.did["ring"] += 1
    w.check(
        w.counted == switches * listeners, f"{w.counted} calls of {listeners} hooks in {switches} switches"
    )


def storms(w, a, b, c, d):
    t = w.t
    if not quiet(w):
        return
    w.reap()
    if t.doomed:
        return
    w.bursting, w.counted = True, 0
    listeners, count = len(t.listeners()), 20 + a % 600
    right = storm(count)
    w.bursting = False
    w.check(right == count, f"{right} of {count} greenlets returned what they should")
    w.model.switches += 2 * count
    w.check(w.counted == 2 * count * listeners, f"{w.counted} calls of hooks in a storm of {count}")


INSIDE = {
    "burst": burst,
    "storm": storms,
    "enter": enter,
    "leave": leave,
    "generator": generator,
    "close": close,
}
