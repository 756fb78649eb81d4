"""The benchmarks' parts, at sizes at which their times mean nothing."""

import importlib
import json
import math
import os
import socket
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import needed
import pytest
from helpers import ROOT, run_isolated

BENCHMARKS = ROOT / "benchmarks"
#: Units of work, for each workload.
TINY = defaultdict(lambda: 50, {"memory": 2000, "import": 1})


def part(name: str) -> ModuleType:
    """A file of the benchmarks. They are scripts, found beside each other; not a package."""
    sys.path.insert(0, str(BENCHMARKS))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(BENCHMARKS))


rows = part("rows")
spread = part("spread")
tables = part("tables")
peers = part("peers")
tallies = part("tallies")
sweeps = part("sweeps")
compiled = part("compiled")
driver = part("driver")
counts = part("counts")
guard = part("guard")
report = part("report")

CASES = [(workload, case) for workload, row in rows.WORKLOADS.items() for case in row.cases]


def line(implementation: str, **values: float) -> dict[str, Any]:
    """What a script would have printed."""
    return {"implementation": implementation, "version": "1.0", "values": values}


# --- the scripts ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("workload", "case"), CASES)
def test_script_prints_one_json_line(workload: str, case: str) -> None:
    if workload == "http":
        needed.program("wrk")
    script = BENCHMARKS / rows.WORKLOADS[workload].script
    done = run_isolated(script, peers.SUBJECT, case, "--size", TINY[workload], "--repeat", 1)
    lines = done.stdout.splitlines()
    assert len(lines) == 1
    found = json.loads(lines[0])
    assert (found["workload"], found["case"], found["implementation"]) == (workload, case, peers.SUBJECT)
    assert found["size"] == TINY[workload]
    for value in rows.WORKLOADS[workload].cases[case].values:
        assert math.isfinite(found["values"][value.name])
        assert found["values"][value.name] >= 0


def test_every_case_has_a_row_for_the_subject_and_for_each_base() -> None:
    for workload, case in CASES:
        having = rows.WORKLOADS[workload].rows[case]
        assert peers.SUBJECT in having
        for value in rows.WORKLOADS[workload].cases[case].values:
            assert set(value.goals) <= set(having)
    for count in (*tallies.INSTRUCTIONS, *tallies.SYSCALLS):
        assert set(count.implementations) <= set(rows.WORKLOADS[count.workload].rows[count.case])


def test_every_implementation_is_declared() -> None:
    everything = (rows.WORKLOADS | sweeps.SWEEPS).values()
    named = {name for workload in everything for row in workload.rows.values() for name in row}
    assert named == set(peers.IMPLEMENTATIONS)


def test_growth_is_counted_of_what_the_script_can_do() -> None:
    assert {each.case for each in (*tallies.GROWTH, *tallies.HELPERS)} == set(sweeps.SWEEPS["growth"].cases)


def test_what_only_helps_to_count_is_not_timed() -> None:
    cases = sweeps.SWEEPS["growth"].cases
    assert [name for name, case in cases.items() if not case.sizes] == [each.case for each in tallies.HELPERS]
    # The collector is on whenever something is timed, and no label says otherwise.
    assert not any("without" in case.label for case in cases.values())


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["nobody"], "invalid choice: 'nobody'"),
        ([peers.SUBJECT, "sideways"], "invalid choice: 'sideways'"),
        ([peers.SUBJECT, "shallow", "--size", "0"], "expected a whole number above 0, found '0'"),
        ([peers.SUBJECT, "shallow", "--size", "many"], "expected a whole number above 0, found 'many'"),
    ],
)
def test_script_says_what_is_wrong_with_its_arguments(arguments: list[str], complaint: str) -> None:
    done = run_isolated(BENCHMARKS / "switch.py", *arguments, check=False)
    assert done.returncode == 2
    assert complaint in done.stderr


def test_script_refuses_to_report_when_another_implementation_is_in_the_process() -> None:
    done = run_isolated(
        f"""
        import sys, types
        sys.path.insert(0, {str(BENCHMARKS)!r})
        from workload import be_alone
        be_alone({peers.SUBJECT!r})
        print("alone")
        sys.modules["gevent"] = types.ModuleType("gevent")
        be_alone({peers.SUBJECT!r})
        """,
        check=False,
    )
    assert done.stdout == "alone\n"
    assert done.returncode == 1
    assert done.stderr == f"expected nothing of others in a process of {peers.SUBJECT}, found gevent\n"


# --- the statistics ------------------------------------------------------------------------------


def test_spread_is_lowest_middle_and_highest() -> None:
    assert spread.spread([5.0, 1.0, 3.0]) == spread.Spread(1.0, 3.0, 5.0)
    assert spread.spread([4.0, 1.0, 3.0, 2.0]) == spread.Spread(1.0, 2.5, 4.0)
    with pytest.raises(ValueError, match="expected at least one run, found none"):
        spread.spread([])


def test_ratio_is_the_median_of_the_ratios_of_neighbours() -> None:
    # The ratio of the medians would be 4 / 2 = 2.
    assert spread.paired_ratio([1.0, 10.0, 4.0], [2.0, 10.0, 1.0]) == 1.0
    # A slow minute that hits both does not show.
    assert spread.paired_ratio([1.0, 50.0, 1.1], [2.0, 100.0, 2.2]) == pytest.approx(0.5)


@pytest.mark.parametrize(("values", "base"), [([], []), ([1.0], []), ([1.0], [1.0, 2.0])])
def test_ratio_wants_pairs(values: list[float], base: list[float]) -> None:
    with pytest.raises(ValueError, match=f"found {len(values)} and {len(base)}"):
        spread.paired_ratio(values, base)


# --- the driver ----------------------------------------------------------------------------------


def test_driver_takes_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []

    def run(command: list[str]) -> tuple[dict[str, Any], str]:
        order.append(command[2])
        return line(command[2], ns=1.0), "-15"

    monkeypatch.setattr(driver, "run", run)
    measured = driver.Measured("switch", "shallow", 10)
    measured.take_turns(["a", "b"], 3)
    assert order == ["a", "b", "a", "b", "a", "b"]
    assert {name: len(lines) for name, lines in measured.runs.items()} == {"a": 3, "b": 3}


def test_driver_leaves_out_what_fails_and_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    order: list[str] = []

    def run(command: list[str]) -> tuple[dict[str, Any], str]:
        order.append(command[2])
        if command[2] == "b" and len(order) > 2:
            raise driver.RunFailed("exit status 1: it broke")
        return line(command[2], ns=1.0), "-15"

    monkeypatch.setattr(driver, "run", run)
    measured = driver.Measured("switch", "shallow", 10)
    measured.take_turns(["a", "b", "c"], 3)
    assert order == ["a", "b", "c", "a", "b", "c", "a", "c"]
    assert set(measured.runs) == {"a", "c"}
    assert measured.failed == {"b": "exit status 1: it broke"}
    assert capsys.readouterr().err == "switch shallow b: exit status 1: it broke\n"


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("print('{}'); print('{}')", "expected one line, found 2"),
        ("print('hello')", "expected a JSON line, found 'hello'"),
        ("raise SystemExit('no luck')", "exit status 1: no luck"),
        ("raise SystemExit(3)", "exit status 3: nothing was printed"),
    ],
)
def test_driver_says_what_is_wrong_with_a_run(source: str, complaint: str) -> None:
    with pytest.raises(driver.RunFailed, match=complaint):
        driver.run([sys.executable, "-c", source])


def test_driver_ends_what_a_hanging_run_has_started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    note = tmp_path / "pid"
    source = f"""
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])
with open({str(note)!r} + ".new", "w") as file:
    file.write(str(child.pid))
os.rename(file.name, {str(note)!r})
time.sleep(1000)
"""
    for limit in (2, 10, 50):  # on a busy machine it takes a while to come to the note
        monkeypatch.setattr(driver, "LIMIT_S", limit)
        with pytest.raises(driver.RunFailed, match=f"did not end within {limit} s"):
            driver.run([sys.executable, "-c", source])
        if note.exists():
            break
    pid = int(note.read_text())
    # It was told to die before run() returned; when the kernel is done with it is not ours to say.
    while not is_gone(pid):
        time.sleep(0.01)


def is_gone(pid: int) -> bool:
    """Whether a process has ended (buried or not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except FileNotFoundError:
        return True


def test_driver_measures_and_writes_the_page(tmp_path: Path) -> None:
    """From the command line to the page, with a row that needs nothing but a C compiler."""
    times, page = tmp_path / "results" / "times.json", tmp_path / "docs" / "page.md"
    done = run_isolated(
        BENCHMARKS / "driver.py", "echo", "--quick", "--rounds", 1, "--only", "c-epoll", "--output", times
    )
    assert "| 100 connections x 64 B" in done.stdout
    found = json.loads(times.read_text())
    assert [sorted(each["runs"]) for each in found["measured"]] == [["c-epoll"]]
    run_isolated(BENCHMARKS / "report.py", times.parent, page)
    assert "## echo: a server on one core, the load generator on another" in page.read_text()


# --- the tables ----------------------------------------------------------------------------------


def test_table_shows_ratios_and_whether_the_required_ones_are_met() -> None:
    runs = {
        peers.SUBJECT: [
            line(peers.SUBJECT, ns=20.0),
            line(peers.SUBJECT, ns=30.0),
            line(peers.SUBJECT, ns=25.0),
        ],
        "greenlet": [line("greenlet", ns=100.0), line("greenlet", ns=100.0), line("greenlet", ns=125.0)],
    }
    failed = {"gone": "exit status 1: why"}
    measured = {"workload": "switch", "case": "shallow", "runs": runs, "failed": failed}
    table = tables.table("switch", [measured])
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in table if row.startswith("|")]
    bound = rows.WORKLOADS["switch"].cases["shallow"].values[0].goals["greenlet"].required
    assert cells[0][:5] == ["ns per round trip", "implementation", "min", "median", "max"]
    assert cells[0][5:] == ["ratio to greenlet", "required"]
    assert cells[2] == ["shallow", peers.SUBJECT, "20.0", "25.0", "30.0", "0.200", f"<= {bound:g}: met"]
    assert cells[3] == ["", "greenlet", "100", "100", "125", "1.00", ""]
    assert table[-2] == "No figure for gone, switch shallow: exit status 1: why"


def test_standing_says_what_is_met_and_what_is_reached() -> None:
    runs = {
        peers.SUBJECT: [line(peers.SUBJECT, ns=20.0), line(peers.SUBJECT, ns=22.0)],
        "greenlet": [line("greenlet", ns=100.0), line("greenlet", ns=100.0)],
        "stdlib": [line("stdlib", ns=30.0), line("stdlib", ns=30.0)],
    }
    measured = {"workload": "switch", "case": "shallow", "runs": runs, "failed": {}}
    (found,) = tables.standings([measured])
    goal = rows.WORKLOADS["switch"].cases["shallow"].values[0].goals["greenlet"]
    assert (found.base, found.required, found.aim) == ("greenlet", goal.required, goal.aim)
    assert found.ratio == pytest.approx(0.21)
    assert (found.met, found.reached) == (True, False)
    assert found.peers == "stdlib 0.300"
    text = tables.standings_table([found])
    assert text[0] == "1 of 1 required figures are met, 0 of 1 aims are reached."
    assert text[4].split("|")[4:7] == [
        f" <= {goal.required:g}: met ",
        f" <= {goal.aim:g}: not yet ",
        " stdlib 0.300 ",
    ]
    named = "- switch: shallow: ns per round trip (0.210 of greenlet)"
    assert text[6:] == [
        *("Required and missed:", "", "None.", ""),
        *("Aims that are reached:", "", "None.", ""),
        *("Aims that are not ([what stands in the way](benchmark-limits.md)):", "", named, ""),
    ]
    del runs["greenlet"]
    assert tables.standings([measured]) == []


def test_counts_stand_among_what_is_required() -> None:
    count = {"workload": "echo", "case": "100x64", "unit": "request", "connections": 32, "failed": {}}
    bounds = {"required": 1500.0, "aim": 1000.0}
    results = {
        peers.SUBJECT: {"per_unit": 1600.0, "detail": ""},
        "gevent": {"per_unit": 20_000.0, "detail": ""},
    }
    free = {"workload": "switch", "case": "shallow", "unit": "round trip", "connections": 0, "failed": {}}
    growth = {"label": "a crowd", "unit": "one", "failed": {}, "per_unit": {"100": 100.0, "1000": 140.0}}
    found = tables.standings_of_counts(
        {
            "instructions": [
                count | bounds | {"results": results},
                free | {"required": None, "aim": None, "results": results},
            ],
            "growth": [growth | {"collector": True}, growth | {"collector": False}],
        }
    )
    assert [(each.name, each.met, each.reached) for each in found] == [
        ("echo: 32 connections: user instructions per request (1,600)", False, False),
        ("growth: a crowd: instructions per one, dearest size (1.40 of cheapest size)", True, False),
    ]
    text = tables.standings_table(found)
    assert [cell.strip() for cell in text[4].split("|")[2:7]] == [
        *("", "1,600", "<= 1,500: **missed**", "<= 1,000: not yet", "gevent 20,000")
    ]
    assert text[0] == "1 of 2 required figures are met, 0 of 1 aims are reached."
    assert text[text.index("Required and missed:") + 2] == f"- {found[0].name}"


def test_curve_has_a_column_per_size_and_a_gap_where_one_was_not_measured() -> None:
    measured = [
        {"workload": "growth", "case": "spawn", "size": size, "runs": runs, "failed": {"go": "there is none"}}
        for size, runs in (
            (100, {peers.SUBJECT: [line(peers.SUBJECT, ns=3.0)], "gevent": [line("gevent", ns=40.0)]}),
            (1_000, {peers.SUBJECT: [line(peers.SUBJECT, ns=4.0)]}),
        )
    ]
    found = tables.curve_table("growth", measured)
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in found if row.startswith("| ")]
    assert [row[1:] for row in cells] == [["100", "1,000"], ["3.00", "4.00"], ["40.0", ""]]
    assert found[-2:] == ["No figure for go, growth spawn: there is none", ""]


def test_growth_is_judged_by_the_dearest_size() -> None:
    even = {"label": "even", "unit": "one", "failed": {}, "per_unit": {"100": 100.0, "1000": 140.0}}
    steep = {
        "label": "steep",
        "unit": "one",
        "failed": {},
        "per_unit": {"100": 100.0, "1000": 90.0, "10000": 140.0},
    }
    found = tables.growth_table([even, steep])
    assert [row.split("|")[-2].strip() for row in found[2:4]] == ["1.40: met", "1.56: **missed**"]


@pytest.mark.parametrize(
    ("ratio", "required", "lower_is_better", "text"),
    [
        (0.2, 0.28, True, "<= 0.28: met"),
        (0.3, 0.28, True, "<= 0.28: **missed**"),
        (2.0, 1.9, False, ">= 1.9: met"),
        (1.8, 1.9, False, ">= 1.9: **missed**"),
        (1.8, None, False, ""),
    ],
)
def test_requirement_knows_its_direction(
    ratio: float, required: float | None, lower_is_better: bool, text: str
) -> None:
    assert tables.requirement(ratio, required, lower_is_better) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [(0.03456, "0.0346"), (2.0, "2.00"), (123.4, "123"), (999.7, "1,000"), (1234.5, "1,234")],
)
def test_figure_has_three_digits(number: float, text: str) -> None:
    assert tables.figure(number) == text


# --- the counts ----------------------------------------------------------------------------------

STRACE = """\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 60.00    0.000600           2       300           sendto
 40.00    0.000400           1       400       100 recvfrom
  0.00    0.000000           0         1           execve
------ ----------- ----------- --------- --------- ----------------
100.00    0.001000           1       701       100 total
"""


def test_strace_table_is_read() -> None:
    found = counts.parse_strace(STRACE)
    assert found == Counter({"sendto": 300, "recvfrom": 400, "recvfrom failed": 100, "execve": 1})
    with pytest.raises(driver.RunFailed, match="expected a table from strace, found 'nothing'"):
        counts.parse_strace("nothing")


CALLGRIND = """\
# callgrind format
positions: line
events: Ir

ob=(1) /usr/bin/python3.11
fl=(1) ceval.c
fn=(1) eval
16 400
+1 20
cob=(2) /site/_core.cpython-311-x86_64-linux-gnu.so
cfi=(2) park.c
cfn=(2) park
calls=5 80
* 7000
-3 1

ob=(2)
fl=(2)
fn=(2)
80 300
cob=(3) /lib/libc.so.6
cfn=(3) memcpy
calls=2 0
* 90
81 5
ob=(3)
fn=(3)
0 90
ob=(4) ???
fn=(4) 0x1
0 7

totals: 823
"""


def test_callgrind_table_is_read() -> None:
    found = counts.parse_callgrind(CALLGRIND)
    assert found == {"python3.11": 421, "_core": 305, "libc": 90, "elsewhere": 7}
    assert found.total() == 823
    with pytest.raises(driver.RunFailed, match="expected a table from callgrind, found 'nothing'"):
        counts.parse_callgrind("nothing")


def test_start_up_is_not_in_the_cost_of_a_unit() -> None:
    count = tallies.Count("echo", "100x64", "request", (), 100, 300)
    small = Counter({"sendto": 150, "recvfrom": 200, "recvfrom failed": 50, "execve": 1})
    large = Counter({"sendto": 350, "recvfrom": 600, "recvfrom failed": 250, "execve": 1})
    found = counts.per_unit(count, small, large)
    assert found == {"per_unit": 3.0, "detail": "recvfrom 2.00, recvfrom failed 1.00, sendto 1.00"}


@pytest.mark.parametrize("case", sorted(sweeps.SWEEPS["growth"].cases))
def test_growing_crowd_does_what_is_measured(case: str) -> None:
    done = run_isolated(BENCHMARKS / "growth.py", peers.SUBJECT, case, "--size", 30)
    values = json.loads(done.stdout)["values"]
    assert values["units"] >= 30
    assert values["ns"] > 0


@pytest.mark.parametrize("words", [("connections", "http", 3), ("load", "echo", 500)])
def test_server_is_measured_at_a_point_of_a_curve(words: tuple[str, str, int]) -> None:
    name, case, size = words
    done = run_isolated(BENCHMARKS / "served.py", name, peers.SUBJECT, case, "--size", size)
    values = json.loads(done.stdout)["values"]
    assert values["requests"] > 0
    assert 0 < values["p50_us"] <= values["p99_us"]


def test_counts_fail_one_by_one(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    count = tallies.Count("switch", "shallow", "round trip", ("corolib", "greenlet"), 10, 30)
    served = tallies.Count("echo", "100x64", "request", ("corolib", "gevent"), 10, 30, connections=2)
    monkeypatch.setattr(counts.os, "sched_getaffinity", lambda pid: {0, 1})

    def how(each: Any, implementation: str, size: int) -> Counter[str]:
        if implementation == "gevent":
            raise driver.RunFailed("it broke")
        return Counter(instructions=5 * size if each is count else 7 * size)

    options = counts.choices(counts.arguments(""), [])
    found = counts.take(how, (count, served), options)
    assert [{name: one["per_unit"] for name, one in each["results"].items()} for each in found] == [
        {"corolib": 5.0, "greenlet": 5.0},
        {"corolib": 7.0},
    ]
    assert [each["failed"] for each in found] == [{}, {"gevent": "it broke"}]
    assert capsys.readouterr().err == "echo 100x64 gevent: it broke\n"


# --- the guard -----------------------------------------------------------------------------------


def test_guard_finds_what_got_dearer() -> None:
    kept = dict.fromkeys([guard.PLAIN, *guard.GUARDED], 1000.0)
    assert guard.compare(kept, kept) == ([], [])
    assert guard.compare(kept, kept | {"sleep(0)": 1040.0}) == ([], [])
    worse, remarks = guard.compare(kept, kept | {"sleep(0)": 1060.0, "echo request": 900.0})
    assert worse == ["sleep(0): 1060.0 instructions, 1000.0 were kept (+6.0%)"]
    assert remarks == [
        "echo request: 900.0 instructions, 1000.0 were kept (-10.0%): cheaper; keep that with --renew"
    ]


def test_guard_does_not_judge_by_the_numbers_of_another_interpreter() -> None:
    kept = dict.fromkeys([guard.PLAIN, *guard.GUARDED], 1000.0)
    worse, remarks = guard.compare(kept, dict.fromkeys(kept, 2000.0))
    assert worse == []
    assert len(remarks) == 1
    assert "another build of Python" in remarks[0]


def test_page_shows_what_was_done_apart() -> None:
    times = {"measured": [], "quick": False, "rows": False, "rounds": 5, "seconds": 90.0, "machine": {}}
    counted = {"started": "then", "commit": "abc", "quick": False}
    row = {"label": "a crowd", "unit": "one", "failed": {}, "per_unit": {"100": 1.0}, "collector": True}
    read = {
        "times": times | {"started": "now"},
        "growth": counted | {"growth": [row]},
        "million": counted | {"figures": [["asleep in", 2.5, "s"]]},
    }
    text = report.page(read, {})
    assert "Command: `benchmarks/run counts growth`, then, commit abc." in text
    assert "Command: `benchmarks/run million`, then, commit abc." in text
    cells = [[cell.strip() for cell in row.split("|")[1:-1]] for row in text.splitlines()]
    assert ["asleep in", "2.50", "s"] in cells
    assert ["a crowd, per one", "1.00", "1.00: met"] in cells


# --- the C programs ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., dict[str, Any]]]:
    """Builds both programs anew; runs the load generator and gives what it printed."""
    before, compiled.BUILT = compiled.BUILT, tmp_path_factory.mktemp("built")
    try:
        path = compiled.program("loadgen")

        def run(*arguments: object) -> dict[str, Any]:
            command = [str(path), *map(str, arguments)]
            done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=50)
            found: dict[str, Any] = json.loads(done.stdout)
            return found

        yield run
    finally:
        compiled.BUILT = before


def epoll_http() -> AbstractContextManager[int]:
    """The web server in C, and its port."""
    return epoll_echo(what="http")


@contextmanager
def epoll_echo(*words: str, what: str = "echo") -> Iterator[int]:
    """The server in C, and its port."""
    command = [compiled.program("epoll_echo"), what, *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.kill()


@contextmanager
def answering(answer: Callable[[bytes], bytes], size: int = 64) -> Iterator[int]:
    """A server in a thread that answers one connection's pieces of a size, until it has no answer."""

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            while data := connection.recv(size, socket.MSG_WAITALL):
                reply = answer(data)
                if not reply:
                    return
                connection.sendall(reply)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            thread.join()


@pytest.mark.parametrize(
    ("connections", "size", "requests"), [(1, 1, 100), (100, 64, 3000), (3, 65536, 50), (2, 3_000_000, 6)]
)
def test_load_generator_finds_every_echo_right(
    generator: Callable[..., dict[str, Any]], connections: int, size: int, requests: int
) -> None:
    with epoll_echo() as port:
        found = generator(port, connections, size, "requests", requests)
    assert (found["requests"], found["errors"]) == (requests, 0)
    assert 0 < found["p50_us"] <= found["p99_us"]
    assert found["requests_per_s"] == pytest.approx(requests / found["seconds"], rel=0.01)


@pytest.mark.parametrize(("connections", "size"), [(1, 1), (20, 64)])
def test_load_generator_opens_a_connection_for_each_request(
    generator: Callable[..., dict[str, Any]], connections: int, size: int
) -> None:
    with epoll_echo("once") as port:
        found = generator(port, connections, size, "requests", 100, "fresh")
    assert (found["requests"], found["errors"]) == (100, 0)


def test_load_generator_makes_all_connections_while_the_server_is_stopped(
    generator: Callable[..., dict[str, Any]],
) -> None:
    command = [compiled.program("epoll_echo"), "echo", "once"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            port = process.stdout.readline()
            found = generator(port.strip(), 20, 64, "seconds", 0.005, "fresh", "standing", process.pid)
        finally:
            process.kill()
    assert found["errors"] == 0
    assert found["requests"] >= 20
    assert found["requests"] % 20 == 0
    assert found["seconds"] >= 0.005


def test_load_generator_notices_that_the_server_it_is_to_stop_has_ended(
    generator: Callable[..., dict[str, Any]],
) -> None:
    with subprocess.Popen(["true"]) as process:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # ended, and not waited for
        with pytest.raises(subprocess.CalledProcessError) as caught:
            generator(1, 1, 64, "seconds", 1, "fresh", "standing", process.pid)
    assert "has ended" in caught.value.stderr


def test_load_generator_understands_answers_of_http(generator: Callable[..., dict[str, Any]]) -> None:
    with epoll_http() as port:
        found = generator(port, 5, 4096, "requests", 200, "http")
    assert (found["requests"], found["errors"]) == (200, 0)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\nab",
        b"SSH-2.0-OpenSSH\r\n\r\n",
    ],
)
def test_load_generator_notices_a_wrong_answer_of_http(
    generator: Callable[..., dict[str, Any]], answer: bytes
) -> None:
    with answering(lambda data: answer, size=35) as port:
        found = generator(port, 1, 4096, "requests", 3, "http")
    assert (found["requests"], found["errors"]) == (0, 1)


def test_load_generator_offers_a_rate(generator: Callable[..., dict[str, Any]]) -> None:
    with epoll_echo() as port:
        found = generator(port, 3, 64, "requests", 100, "rate", 1000)
    assert (found["requests"], found["errors"]) == (100, 0)
    # A hundred of them, a millisecond apart; the first at once.
    assert found["seconds"] >= 0.099


def test_load_generator_charges_a_pause_to_all_that_were_due_meanwhile(
    generator: Callable[..., dict[str, Any]],
) -> None:
    answers = iter([0.2, *[0.0] * 200])

    def answer(data: bytes) -> bytes:
        time.sleep(next(answers))
        return data

    with answering(answer) as port:
        found = generator(port, 1, 64, "requests", 100, "rate", 1000)
    assert (found["requests"], found["errors"]) == (100, 0)
    # They were due during the first 100 ms of the 200 that the first one takes.
    assert found["p50_us"] >= 100_000


def test_load_generator_wants_a_fresh_connection_to_be_closed(
    generator: Callable[..., dict[str, Any]],
) -> None:
    with answering(lambda data: data + b"x") as port:
        found = generator(port, 1, 64, "requests", 3, "fresh")
    assert (found["requests"], found["errors"]) == (0, 1)


def test_load_generator_stops_when_the_time_is_over(generator: Callable[..., dict[str, Any]]) -> None:
    with epoll_echo() as port:
        found = generator(port, 5, 64, "seconds", 0.05)
    assert found["requests"] > 0
    assert found["errors"] == 0
    assert found["seconds"] >= 0.05


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda data: data[:-1] + bytes([data[-1] ^ 1]), id="a bit"),
        pytest.param(lambda data: data + b"x", id="too long"),
        pytest.param(lambda data: b"", id="closed"),
    ],
)
def test_load_generator_notices_a_wrong_answer(
    generator: Callable[..., dict[str, Any]], spoil: Callable[[bytes], bytes]
) -> None:
    answers = iter([bytes, bytes, spoil])
    with answering(lambda data: next(answers)(data)) as port:
        found = generator(port, 1, 64, "requests", 10)
    assert (found["requests"], found["errors"]) == (2, 1)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["1", "2", "3", "seconds"], "usage: loadgen PORT CONNECTIONS SIZE"),
        (["1", "2", "3", "seconds", "1", "stale"], "usage: loadgen"),
        (["1", "2", "3", "seconds", "1", "standing", "1"], "usage: loadgen"),
        (["1", "2", "3", "requests", "1", "fresh", "standing", "1"], "usage: loadgen"),
        (["99999", "1", "1", "seconds", "1"], "PORT: expected a number from 1 to 65535, found '99999'"),
        (["1", "0", "1", "seconds", "1"], "CONNECTIONS: expected a number from 1 to 1000000, found '0'"),
        (["1", "1", "-1", "seconds", "1"], "SIZE: expected a number from 1 to 1073741824, found '-1'"),
        (["1", "1", "1", "seconds", "nan"], "expected a number above 0 and at most 86400, found 'nan'"),
    ],
)
def test_load_generator_says_what_is_wrong_with_its_arguments(arguments: list[str], complaint: str) -> None:
    done = subprocess.run(
        [compiled.program("loadgen"), *arguments], check=False, capture_output=True, text=True, timeout=50
    )
    assert done.returncode == 2
    assert complaint in done.stderr


def test_missing_compiler_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(compiled, "BUILT", tmp_path)
    monkeypatch.setenv("CC", "no-such-compiler -x")
    with pytest.raises(SystemExit, match="expected a C compiler 'no-such-compiler', found none"):
        compiled.program("epoll_echo")
    assert list(tmp_path.iterdir()) == []


# --- the command ---------------------------------------------------------------------------------


def test_run_refuses_what_it_does_not_know() -> None:
    command = [BENCHMARKS / "run", "--fast"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=50)
    assert done.returncode == 2
    assert done.stderr == (
        "benchmarks/run: expected --quick, --rows, --page NAME or names of workloads, found '--fast'\n"
    )
