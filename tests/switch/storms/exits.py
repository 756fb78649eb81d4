"""Interpreters that end at random moments, with greenlets parked everywhere.

    exits.py COUNT [--seed FIRST] [--jobs JOBS] [--only WAY]     a storm; a failing seed is printed
    exits.py --one SEED                                          that one alone, in this process

Every seed is a plan: what is left parked, which threads run, which hooks and destructors are waiting, and how
the program ends. The parent makes the same plan, so it knows what the exit status has to be. A crash, another
status, an end that takes more than two seconds of processor time or does not come is a failure.
"""

import argparse
import importlib.util
import os
import random
import signal
import subprocess
import sys
import tempfile
import time

# Collections start in main greenlets only: what may happen to one that starts on a lane is a test of its own
# (test_gc.py, a collection in a greenlet whose stack is wanted meanwhile). True includes it in the storm.
COLLECT_ON_LANES = True

SECONDS = 2.0
HANGS_AFTER = 60.0
FATAL = ("Fatal Python error", "Segmentation fault", "terminate called", "impossible state", "SystemError")


class Plan:
    """All that is random about one program, drawn in one go."""

    WAYS = (
        *("end", "exit", "exit in a child", "exit deep", "_exit", "_exit in a child"),
        *("raise", "raise in a child", "terminated", "terminated by a timer", "interrupted"),
        *("exit in a thread", "exec", "exit while dropping"),
    )
    THREADS = (
        *("parked daemon", "spinning daemon", "waking daemon", "dropping daemon"),
        *("ending", "ending daemon", "ending daemon"),
    )
    LATE = ("switch", "create", "throw", "getcurrent", "drop", "hook", "frame")

    def __init__(self, seed, only=None):
        self.random = draw = random.Random(seed)
        way = draw.choice(self.WAYS)
        self.way = only or way
        self.status = draw.choice((0, 3, 7))
        self.parked = draw.choice((0, 3, 100, 100, 1000, 10_000))
        self.threads = [draw.choice(self.THREADS) for _ in range(draw.choice((0, 0, 1, 2, 4)))]
        self.hooks = [
            draw.choice(("trace", "hook", "profile", "settrace")) for _ in range(draw.choice((0, 0, 1, 3)))
        ]
        self.atexit = [draw.choice(self.LATE) for _ in range(draw.randrange(4))]
        self.module = [draw.choice(self.LATE) for _ in range(draw.randrange(4))]
        self.cycles = [draw.choice(self.LATE) for _ in range(draw.randrange(4))]
        self.locals = [draw.choice(self.LATE) for _ in range(draw.randrange(3))]
        self.builtins = [draw.choice(self.LATE) for _ in range(draw.randrange(3))]
        self.finalizers = draw.randrange(3)
        self.collect = draw.random() < 0.2
        self.hub = draw.random() < 0.15
        self.delay = draw.choice((0, 0, 0.0005, 0.002, 0.01))
        self.lanes = draw.choice((1, 2, 64))

    def statuses(self):
        """What the process may end with."""
        return {
            "end": {0},
            "exit in a thread": {0},
            "exec": {0},
            "raise": {1},
            "raise in a child": {1},
            "terminated": {-signal.SIGTERM},
            # It may have ended by itself before.
            "terminated by a timer": {-signal.SIGTERM, 0},
            "interrupted": {-signal.SIGINT},
        }.get(self.way, {self.status})

    def __str__(self):
        return ", ".join(f"{name}={value}" for name, value in vars(self).items() if name != "random")


def late(what, child):
    """Something that uses the engine when it is too late, perhaps; whatever it raises is its own.

    It may also be called early, by a collection in any greenlet, so it sees to it that control comes back.
    """
    from corolib._switch import add_switch_hook, getcurrent, greenlet

    def act(*_, greenlet=greenlet, getcurrent=getcurrent, add_switch_hook=add_switch_hook):
        try:
            if what == "switch":
                child.switch(getcurrent())
            elif what == "create":
                greenlet(lambda: getcurrent().parent.switch()).switch()
            elif what == "throw":
                child.parent = getcurrent()
                child.throw(ValueError)
            elif what == "getcurrent":
                getcurrent()
            elif what == "hook":
                add_switch_hook(lambda event, pair: None)
                greenlet(int).switch()
            elif what == "frame":
                frame = child.gr_frame
                while frame is not None:
                    frame = frame.f_back
            elif what == "drop":
                made = greenlet(getcurrent().switch)
                made.switch(None)
                del made
        except Exception:
            pass

    return act


class Dying:
    def __init__(self, act):
        self.act = act

    def __del__(self):
        self.act()


def live(plan):
    """The program itself."""
    import _thread
    import atexit
    import builtins
    import gc
    import threading
    import weakref

    from corolib._switch import add_switch_hook, getcurrent, greenlet, settrace

    # Where a storm runs in the background, a shell may have it ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    draw = plan.random
    main = getcurrent()
    module = globals()

    if not COLLECT_ON_LANES:
        gc.disable()

    def back(home):
        """To who is named, or to whom one came from the last time."""
        got = home.switch()
        return got if isinstance(got, greenlet) else home

    def plain(home):
        while True:
            home = back(home)

    def through_c(home):
        sorted([2, 1], key=lambda n: (home.switch(), n)[1])
        plain(home)

    def with_finally(home):
        try:
            plain(home)
        finally:
            greenlet(int).switch()

    def with_generator(home):
        def steps():
            while True:
                yield back(home)

        for home in steps():  # noqa: B007 - the generator reads it
            pass

    def deep(home, levels=30):
        return deep(home, levels - 1) if levels else plain(home)

    kinds = (plain, plain, through_c, with_finally, with_generator, deep)

    def park(count):
        home = getcurrent()
        made = []
        for number in range(count):
            child = greenlet(kinds[number % len(kinds)], pin=number % 50 == 7)
            child.switch(home)
            made.append(child)
        return made

    def one():
        return park(1)[0]

    kept = park(plan.parked)
    # Some are dropped in an order of their own, some are found by modules and builtins only.
    for number in range(len(kept) // 10):
        kept[number] = None
    module["kept"] = kept

    def spin(stop):
        home = getcurrent()
        children = park(5)
        while not stop:
            for child in children:
                child.switch()
            greenlet(lambda: home.switch()).switch()

    def wake():
        def doze():
            while True:
                time.sleep(0.0002)

        greenlet(lambda: greenlet(doze).switch()).switch()

    ready = threading.Semaphore(0)

    def thread(kind):
        mine = park(10)
        ready.release()
        if kind == "parked daemon":
            greenlet(_thread.allocate_lock().acquire).switch()  # free, so it goes on to:
            block = _thread.allocate_lock()
            block.acquire()
            greenlet(block.acquire).switch()
        elif kind == "spinning daemon":
            greenlet(spin).switch([])
        elif kind == "waking daemon":
            wake()
        elif kind == "dropping daemon":
            while True:
                if kept:
                    kept[len(kept) // 2] = None
                    kept.pop()
                time.sleep(0)
        elif kind == "ending daemon":
            time.sleep(draw.random() * 0.01)  # about when the program ends
        else:
            time.sleep(plan.delay)
        del mine

    for kind in plan.threads:
        threading.Thread(target=thread, args=(kind,), daemon=kind != "ending").start()
        ready.acquire()
    for kind in plan.hooks:
        if kind == "trace":
            settrace(lambda event, pair: None)
        elif kind == "hook":
            add_switch_hook(lambda event, pair: len(event))
        elif kind == "profile":
            sys.setprofile(lambda *args: None)
        else:
            sys.settrace(lambda *args: None)
    for number, what in enumerate(plan.atexit):
        act = late(what, one())
        atexit.register(act if number % 2 else lambda act=act: greenlet(act).switch())
    for number, what in enumerate(plan.module):
        module[f"dying_{number}"] = Dying(late(what, one()))
    for what in plan.cycles:
        dying = Dying(late(what, one()))
        dying.me = dying
    local = threading.local()
    local.dying = [Dying(late(what, one())) for what in plan.locals]
    module["local"] = local
    builtins.dying = [Dying(late(what, one())) for what in plan.builtins]
    for _ in range(plan.finalizers):
        target = Dying(lambda: None)
        weakref.finalize(target, late("switch", one()))
        module.setdefault("targets", []).append(target)
    if plan.hub and importlib.util.find_spec("corolib._hub"):  # the engine can be built alone
        import corolib

        for _ in range(20):
            corolib.spawn(corolib.sleep, 1000)
        corolib.sleep(0)
    if plan.collect and COLLECT_ON_LANES:
        gc.set_threshold(1)
    elif plan.collect:
        gc.collect()
    if plan.delay:
        # Others run meanwhile.
        until = time.monotonic() + plan.delay
        while time.monotonic() < until:
            for child in kept[:3]:
                if child is not None and not child.dead:
                    child.switch()

    def leave(levels=0):
        if levels:
            sorted([1], key=lambda _: greenlet(leave).switch(levels - 1))
        sys.exit(plan.status)

    way = plan.way
    if way == "exit":
        leave()
    elif way == "exit in a child":
        greenlet(leave).switch()
    elif way == "exit deep":
        greenlet(leave).switch(5)
    elif way == "_exit":
        os._exit(plan.status)
    elif way == "_exit in a child":
        greenlet(os._exit).switch(plan.status)
    elif way == "raise":
        raise LookupError("the end")
    elif way == "raise in a child":
        greenlet(lambda: {}["the end"]).switch()
    elif way == "terminated":
        greenlet(os.kill).switch(os.getpid(), signal.SIGTERM)
        time.sleep(HANGS_AFTER)
    elif way == "terminated by a timer":
        # By somebody else, at any moment of the end.
        after = draw.random() * 0.03
        if os.fork() == 0:
            time.sleep(after)
            try:
                os.kill(os.getppid(), signal.SIGTERM)
            finally:
                os._exit(0)
    elif way == "interrupted":

        def interrupted():
            os.kill(os.getpid(), signal.SIGINT)
            while True:
                main.switch()

        child = greenlet(interrupted)
        while True:
            child.switch()
    elif way == "exit in a thread":
        each = threading.Thread(target=lambda: greenlet(sys.exit).switch(plan.status))
        each.start()
        each.join()
    elif way == "exec":
        greenlet(os.execv).switch(sys.executable, [sys.executable, "-S", "-c", "pass"])
    elif way == "exit while dropping":

        def last():
            try:
                main.switch()
            finally:
                sys.exit(plan.status)

        child = greenlet(last)
        child.switch()
        child.throw()


def start(seed, only):
    output = tempfile.TemporaryFile()
    plan = Plan(seed, only)
    command = [sys.executable, "-X", "faulthandler", "-W", "ignore", os.path.abspath(__file__)]
    command += ["--one", str(seed), *(["--only", only] if only else [])]
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        env={**os.environ, "COROLIB_LANES": str(plan.lanes), "PYTHONHASHSEED": str(seed % 1000)},
    )
    return seed, plan, process, output, time.monotonic()


def judge(seed, plan, status, output, wall, used):
    """Why this end is a failure, or None."""
    output.seek(0)
    text = output.read().decode(errors="replace")
    output.close()
    reason = None
    if status is None:
        reason = "did not end"
    elif status not in plan.statuses():
        reason = f"ended with {status}, not {' or '.join(map(str, plan.statuses()))}"
    elif any(word in text for word in FATAL):
        reason = "said what it should not"
    elif used > SECONDS:
        reason = f"took {used:.1f} s of processor time"
    return reason and f"seed {seed}: {reason}\n  {plan}\n{text[-3000:]}"


def storm(count, first, jobs, only):
    running, failures, late, longest, waited = [], [], [], 0.0, 0.0
    seeds = iter(range(first, first + count))
    done = 0
    while True:
        while len(running) < jobs and (seed := next(seeds, None)) is not None:
            running.append(start(seed, only))
        if not running:
            break
        time.sleep(0.001)
        for each in list(running):
            seed, plan, process, output, started = each
            pid, code, usage = os.wait4(process.pid, os.WNOHANG)
            wall = time.monotonic() - started
            if pid == 0 and wall < HANGS_AFTER:
                continue
            if pid == 0:
                process.send_signal(signal.SIGABRT)  # faulthandler then shows where it hangs
                _, _, usage = os.wait4(process.pid, 0)
                process.returncode = status = None
            else:
                process.returncode = status = os.waitstatus_to_exitcode(code)
            process.returncode = 0  # collected here, not by subprocess
            running.remove(each)
            used = usage.ru_utime + usage.ru_stime
            longest, waited = max(longest, used), max(waited, wall)
            if wall > SECONDS:
                late.append((wall, seed))
            failure = judge(seed, plan, status, output, wall, used)
            if failure:
                failures.append(failure)
                print(failure, flush=True)
            done += 1
    print(
        f"{done} exits, seeds {first} to {first + count - 1}: {len(failures)} failures; the longest took "
        f"{longest:.2f} s of processor time, {waited:.2f} s in all"
    )
    # No failures: the machine may be busy. To be looked at if it is the same seed each time.
    for wall, seed in sorted(late, reverse=True)[:5]:
        print(f"one of {len(late)} that were late: seed {seed} after {wall:.1f} s")
    return not failures


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("count", type=int, nargs="?", default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--only", choices=Plan.WAYS)
    parser.add_argument("--one", type=int)
    options = parser.parse_args()
    if options.one is not None:
        live(Plan(options.one, options.only))
    else:
        sys.exit(not storm(options.count, options.seed, options.jobs, options.only))
