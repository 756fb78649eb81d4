"""The shortest program that still fails: what comes after is cut off, then parts are taken out, ever smaller.

A program means something in any state, so every part of one is a program. Each attempt is a process, as the
failure may be a crash. What remains need not be the smallest there is; it is one of which no single operation
can be taken out (if there was the time to try).
"""

import re
import time

SECONDS = 180


def shrink(program, outcome, attempt, seconds=SECONDS):
    """attempt(part) runs a part and returns an outcome; the same status counts as the same failure."""
    until = time.monotonic() + seconds

    def fails(part):
        return attempt(part).status == outcome.status

    found = re.search(r"at step (\d+) of", outcome.output)
    if found and int(found[1]) < len(program):
        head = program[: int(found[1])]
        program = head if fails(head) else program
    size = max(1, len(program) // 2)
    while time.monotonic() < until:
        start = len(program)
        smaller = False
        while start > 0 and time.monotonic() < until:
            start = max(0, start - size)
            part = program[:start] + program[start + size :]
            if len(part) < len(program) and fails(part):
                program = part
                smaller = True
        if size == 1 and not smaller:
            break
        size = max(1, size // 2)
    return program
