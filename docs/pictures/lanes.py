"""Draws lanes.svg: where the C stacks of greenlets lie (corolib/_switch/README.md, "Lanes")."""

from drawing import Picture

TOP, BOTTOM = 96, 330
WIDTH = 116


def lane(
    picture: Picture, x: float, name: str, colour: str, guest: str, slices: list[str], note: str
) -> None:
    """A stack: its used part at the top, in the colour of who occupies it."""
    picture.text(x + WIDTH / 2, TOP - 30, name, bold=True, anchor="middle")
    picture.text(x + WIDTH / 2, TOP - 13, note, "soft", anchor="middle", size=11.5)
    picture.box(x, TOP, WIDTH, BOTTOM - TOP, "plain", round=4)
    depth = 27 * len(slices)
    picture.box(x, TOP, WIDTH, depth, colour, round=4)
    for row, text in enumerate(slices):
        picture.text(x + WIDTH / 2, TOP + 18 + 27 * row, text, colour, mono=True, anchor="middle", size=11.5)
        if row:
            picture.line([(x, TOP + 27 * row), (x + WIDTH, TOP + 27 * row)], colour, width=0.75)
    picture.line([(x - 16, TOP + depth), (x - 2, TOP + depth)], colour, arrow=True)
    picture.text(x - 19, TOP + depth + 4, "sp", colour, mono=True, anchor="end")
    picture.text(x + WIDTH / 2, TOP + depth + 26, guest, colour, anchor="middle", bold=True)
    picture.text(x + WIDTH / 2, TOP + depth + 43, "8 MiB reserved", "soft", anchor="middle", size=11.5)
    picture.box(x, BOTTOM - 22, WIDTH, 22, "soft", round=4, dashed=True)
    picture.text(x + WIDTH / 2, BOTTOM - 7, "guard", "soft", anchor="middle", size=11.5)


def draw() -> str:
    picture = Picture(
        920,
        520,
        "The lanes of a thread",
        "A thread has a few full-size C stacks, its lanes. Each has one occupant; the used part of the stack "
        "of all others that are bound to it lies in a buffer on the heap.",
    )
    picture.text(28, 36, "Where the C stacks of greenlets lie", bold=True, size=17)
    lane(picture, 64, "lane 0", "blue", "A lives here", ["eval loop", "recv()", "switch"], "its occupant: A")
    lane(picture, 236, "lane 1", "green", "B lives here", ["eval loop", "switch"], "its occupant: B")
    lane(picture, 408, "the hub's lane", "violet", "the hub", ["loop", "epoll_wait"], "pinned: never evicted")

    x = 580
    picture.text(x, TOP - 30, "heap", bold=True)
    picture.text(x, TOP - 13, "evicted: only their slice, [sp, top)", "soft", size=11.5)
    picture.box(x, TOP, 312, BOTTOM - TOP, "soft", dashed=True)
    rows = [
        ("C", "green", "bound to lane 1", 700),
        ("D", "blue", "bound to lane 0", 850),
        ("E", "blue", "bound to lane 0", 650),
    ]
    for row, (name, colour, bound, size) in enumerate(rows):
        y = TOP + 20 + row * 48
        picture.box(x + 18, y, size / 7, 30, colour)
        picture.text(
            x + 18 + size / 14, y + 20, f"{name}  {size} B", colour, anchor="middle", bold=True, size=12
        )
        picture.text(x + 154, y + 20, bound, "soft")
    picture.text(x + 18, TOP + 186, "... and a million more, if need be:", "soft")
    picture.text(x + 18, TOP + 206, "each costs its slice, not a stack", "soft")

    picture.line([(28, 356), (892, 356)], "soft", width=1)
    cases = [
        (
            "1",
            "green",
            "The target occupies its lane: A to B.",
            "Swap registers. About 18 ns, however deep both stand.",
        ),
        (
            "2",
            "blue",
            "Its lane has another occupant: B to D.",
            "Copy A out to the heap and D in, some 700 bytes each, then swap.",
        ),
        (
            "3",
            "orange",
            "Its lane is the one we stand on: A to D.",
            "The same, from a small scratch stack, for we stand on A.",
        ),
    ]
    for row, (label, colour, case, what) in enumerate(cases):
        y = 390 + row * 40
        picture.dot(44, y - 4, label, colour)
        picture.text(66, y, case, bold=True)
        picture.text(392, y, what)
    return picture.svg()
