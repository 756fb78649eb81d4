"""Draws timeline.svg: the hub and some greenlets over time, from a trace of a program that really ran.

    python docs/pictures/timeline.py --record

runs the program below some hundred times with a switch hook, keeps the run in which the machine was least
busy with others, and writes it to timeline.json. Drawing takes that file.
"""

import argparse
import json
import time
from itertools import pairwise
from typing import Any

from drawing import HERE, Picture

TRACE = HERE / "timeline.json"
ROWS = {
    "hub": "violet",
    "client 1": "blue",
    "client 2": "blue",
    "handler 1": "green",
    "handler 2": "green",
    "log": "orange",
    "clock": "red",
}
LEFT, RIGHT, TOP, ROW = 112, 892, 112, 46
#: Microseconds from which on the hub, when it does nothing, is drawn as polling.
POLLING = 20


# -- the trace -----------------------------------------------------------------------------------------------


def take() -> list[tuple[float, float, str, str, str]]:
    """One run: for each switch its moment and the processor time until then, in microseconds; who was
    left, waiting for what; who came.
    """
    from corolib import get_hub, getcurrent, joinall, sleep, socket, spawn
    from corolib._hub import waiting
    from corolib._switch import add_switch_hook, remove_switch_hook
    from corolib.queue import Queue

    notes: Queue[bytes] = Queue()

    def work(amount: int) -> None:
        for _ in range(amount * 30):
            pass

    def client(sock: Any, pause: float) -> None:
        for _ in range(2):
            work(120)
            sock.sendall(b"question")
            sock.recv(100)
            work(100)
            sleep(pause)

    def handler(sock: Any) -> None:
        for _ in range(2):
            notes.put(sock.recv(100))
            work(250)
            sock.sendall(b"answer")

    def log() -> None:
        for _ in range(4):
            notes.get()
            work(150)

    def clock() -> None:
        for _ in range(4):
            sleep(0.0004)
            work(80)

    one, two = socket.socketpair(), socket.socketpair()
    crowd = {
        "clock": spawn(clock),
        "log": spawn(log),
        "handler 1": spawn(handler, one[1]),
        "handler 2": spawn(handler, two[1]),
        "client 1": spawn(client, one[0], 0.0005),
        "client 2": spawn(client, two[0], 0.0003),
    }
    names = {id(greenlet): name for name, greenlet in crowd.items()}
    names |= {id(get_hub()): "hub", id(getcurrent()): "main"}
    found: list[tuple[int, int, str, str, str]] = []

    def note(event: str, args: tuple[object, object]) -> None:
        now, used = time.perf_counter_ns(), time.thread_time_ns()
        origin, target = args
        wait = waiting(origin)
        found.append((now, used, names[id(origin)], wait[0] if wait else "", names[id(target)]))

    add_switch_hook(note)
    joinall(list(crowd.values()), raise_error=True)
    remove_switch_hook(note)
    for sock in (*one, *two):
        sock.close()
    began, unused = found[0][:2]
    return [((now - began) / 1000, (used - unused) / 1000, *who) for now, used, *who in found]


def disturbed(trace: list[tuple[float, float, str, str, str]]) -> float:
    """Microseconds in which a greenlet that ran did not have the processor; the hub may wait."""
    lost = 0.0
    for (begun, used, *_, running), (until, then, *_) in pairwise(trace):
        if running != "hub":
            lost += until - begun - (then - used)
    return lost + trace[-1][0] / 20  # and not the slowest one


def record(takes: int = 300) -> None:
    best = min((take() for _ in range(takes)), key=disturbed)
    rows = ",\n".join("  " + json.dumps([round(now, 1), round(used, 1), *who]) for now, used, *who in best)
    TRACE.write_text(f"[\n{rows}\n]\n")


# -- the picture ---------------------------------------------------------------------------------------------


def draw() -> str:
    trace = [tuple(row) for row in json.loads(TRACE.read_text())]
    end = trace[-1][0]
    scale = (RIGHT - LEFT) / end
    height = TOP + ROW * len(ROWS) + 108
    picture = Picture(
        920,
        height,
        "The hub and some greenlets over time",
        "A real trace: two clients, their handlers, a log and a clock take turns in one thread. Only one of "
        "them runs at any moment; when nobody can, the hub polls.",
    )
    picture.text(28, 38, "One thread, over time", bold=True, size=17)
    about = "a real trace: two clients ask, two handlers answer, a log notes it, a clock ticks"
    picture.text(28, 60, about, "soft")
    y_of = {name: TOP + ROW * row for row, name in enumerate(ROWS)}

    def x_of(moment: float) -> float:
        return LEFT + moment * scale

    bottom = TOP + ROW * len(ROWS) - 8
    step = 500 if end > 2500 else 250
    for moment in range(0, int(end) + 1, step):
        picture.line([(x_of(moment), TOP - 10), (x_of(moment), bottom)], "soft", width=0.6)
        picture.text(x_of(moment), TOP - 16, f"{moment / 1000:g} ms", "soft", anchor="middle", size=11)
    for name, colour in ROWS.items():
        picture.text(LEFT - 14, y_of[name] + 18, name, colour, anchor="end", bold=True)

    waits: dict[str, tuple[float, str]] = {}
    runs: list[tuple[float, float, float, str]] = []
    for (begun, used, left, kind, running), (until, then, *_) in pairwise(trace):
        if left in ROWS and left != "hub" and kind:
            waits[left] = (begun, kind)
        if running in waits:
            since, what = waits.pop(running)
            waiting(picture, x_of(since), x_of(begun), y_of[running], what, ROWS[running])
        if running in ROWS:
            runs.append((begun, until, then - used, running))
    for (_, _, _, _, before), (moment, _, _, _, after) in pairwise(trace):
        if before in ROWS and after in ROWS:
            picture.line(
                [(x_of(moment), y_of[before] + 13), (x_of(moment), y_of[after] + 13)], "soft", width=0.75
            )
    for begun, until, worked, name in runs:
        x, width = x_of(begun), (until - begun) * scale
        if name == "hub" and until - begun - worked > POLLING:
            picture.box(x, y_of[name], width, 26, "violet", round=2, dashed=True)
            if width > 60:
                picture.text(x + width / 2, y_of[name] + 17, "polls", "violet", anchor="middle", size=11.5)
        else:
            picture.bar(x, y_of[name], max(width, 1.5), 26, ROWS[name])

    legend(picture, bottom + 26)
    return picture.svg()


def waiting(picture: Picture, x: float, until: float, y: float, what: str, colour: str) -> None:
    """A thin line from when it began to wait until it runs again."""
    picture.line([(x, y + 13), (until, y + 13)], colour, width=1)
    if until - x > 7 * len(what) + 10:
        picture.text((x + until) / 2, y + 9, what, colour, anchor="middle", size=10.5)


def legend(picture: Picture, y: float) -> None:
    picture.line([(28, y - 10), (RIGHT, y - 10)], "soft", width=1)
    picture.bar(28, y + 4, 26, 14, "green")
    picture.text(62, y + 16, "runs")
    picture.line([(116, y + 11), (142, y + 11)], "green", width=1)
    picture.text(150, y + 16, "waits, and for what")
    picture.box(300, y + 4, 26, 14, "violet", round=2, dashed=True)
    picture.text(334, y + 16, "nobody can run: the hub waits for the kernel (epoll)")
    note = "Who waits hands over to the next that is ready, at times straight past the hub."
    picture.text(28, y + 44, note, "soft")
    picture.text(
        28, y + 63, "Nothing is ever interrupted: every change of colour is at a call that waits.", "soft"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Record the trace that timeline.svg is drawn from.")
    parser.add_argument(
        "--record", action="store_true", required=True, help="run the program, write timeline.json"
    )
    parser.add_argument(
        "--takes", type=int, default=300, metavar="N", help="how often to run it (default 300)"
    )
    record(parser.parse_args().takes)
