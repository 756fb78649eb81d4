"""Draws switch.svg: what happens at b.switch(x), called by A ("A switch, step by step" in the README of
corolib/_switch).
"""

from drawing import Picture

LEFT, MIDDLE, RIGHT = 28, 344, 660
SIDE, CENTRE = 232, 232


def greenlet(picture: Picture, x: float, name: str, role: str, colour: str) -> None:
    """What a greenlet is: its C stack, and the fields that are kept for it while it is parked."""
    picture.text(x + SIDE / 2, 84, name, colour, bold=True, anchor="middle", size=15)
    picture.text(x + SIDE / 2, 102, role, "soft", anchor="middle", size=12)
    picture.box(x, 118, SIDE, 84, colour)
    picture.text(x + 12, 138, "saved fields", colour, bold=True)
    picture.text(x + 12, 158, "frame, exception, context,", colour, size=12)
    picture.text(x + 12, 175, "recursion, frame memory, ...", colour, size=12)
    picture.text(x + 12, 192, "some twenty, by Python version", colour, size=11)
    rows = ["evaluation loop", "switch_transfer", "registers"]
    picture.text(x, 232, "its C stack", "soft", size=12)
    for row, text in enumerate(rows):
        picture.box(x, 242 + row * 34, SIDE, 34, colour if text == "registers" else "plain", round=3)
        picture.text(
            x + SIDE / 2,
            264 + row * 34,
            text,
            colour if text == "registers" else "plain",
            mono=True,
            anchor="middle",
        )
    picture.text(x + SIDE / 2, 362, "saved sp points here", "soft", anchor="middle", size=11.5)


def draw() -> str:
    picture = Picture(
        920,
        548,
        "A switch from one greenlet to another",
        "Greenlet A switches to B: A's fields and registers are saved, the stack pointer is exchanged, B's "
        "registers and fields are taken back. The value travels in the struct of the thread.",
    )
    picture.text(28, 38, "b.switch(x), called by A", bold=True, size=17)
    greenlet(picture, LEFT, "A", "leaves", "blue")
    greenlet(picture, RIGHT, "B", "arrives", "green")

    centre = MIDDLE + CENTRE / 2
    picture.text(centre, 84, "the thread", "violet", bold=True, anchor="middle", size=15)
    picture.text(centre, 102, "there is one of each", "soft", anchor="middle", size=12)
    picture.box(MIDDLE, 118, CENTRE, 84, "violet")
    picture.text(MIDDLE + 12, 138, "PyThreadState", "violet", bold=True)
    picture.text(MIDDLE + 12, 158, "what the interpreter believes", "violet", size=12)
    picture.text(MIDDLE + 12, 175, "about who runs", "violet", size=12)
    picture.box(MIDDLE, 242, CENTRE, 46, "orange")
    picture.text(MIDDLE + 12, 262, "struct thread", "orange", bold=True)
    picture.text(MIDDLE + 12, 279, "value: x, origin: A, current: B", "orange", size=12)
    picture.box(MIDDLE, 298, CENTRE, 46, "red")
    picture.text(MIDDLE + 12, 318, "the processor", "red", bold=True)
    picture.text(MIDDLE + 12, 335, "registers, and sp: A's, then B's", "red", size=12)

    left, right = LEFT + SIDE, MIDDLE + CENTRE

    def arrow(x1: float, x2: float, y: float, colour: str, label: str) -> None:
        picture.line(
            [(x1 + 3, y), (x2 - 3, y)] if x1 < x2 else [(x1 - 3, y), (x2 + 3, y)], colour, arrow=True
        )
        picture.dot((x1 + x2) / 2, y, label, colour)

    arrow(MIDDLE, left, 160, "blue", "2")
    arrow(RIGHT, right, 160, "green", "4")
    arrow(left, MIDDLE, 265, "blue", "1")
    arrow(right, RIGHT, 265, "green", "6")
    arrow(MIDDLE, left, 327, "blue", "3")
    arrow(RIGHT, right, 327, "green", "3")

    picture.line([(28, 384), (892, 384)], "soft", width=1)
    steps = [
        (
            "blue",
            "1",
            "A puts the value, itself and the new current one into the struct: nothing travels on a stack.",
        ),
        ("blue", "2", "What the interpreter keeps for the thread goes to A's fields (tstate_leave)."),
        (
            "red",
            "3",
            "Registers to A's stack, sp to A; sp from B, registers from B's stack (arch_swap). B runs.",
        ),
        (
            "green",
            "4",
            "B takes its fields back (tstate_enter), on its own stack: they may point into it.",
        ),
        (
            "green",
            "5",
            "B drops the thread's reference to A: who has ended is freed on the stack of another one.",
        ),
        (
            "green",
            "6",
            "B's own call of switch() returns the value; if B only begins, its function gets it.",
        ),
    ]
    for row, (colour, label, text) in enumerate(steps):
        y = 408 + row * 24
        picture.dot(44, y - 4, label, colour)
        picture.text(64, y, text, size=12.5)
    return picture.svg()
