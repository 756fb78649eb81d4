"""CPython's own tests, run patched: one module in an interpreter of its own, with a limit on the time of each
test.

    python tests/stdlib/runner.py [--unpatched] [--python PYTHON] [--only NAME] MODULE...

prints what did not pass. Nothing of a test is replaced or switched off. The interpreter that runs them needs
corolib, and the package `test`, which some systems have in a package of its own.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import indent
from typing import Any

if __name__ == "__main__":
    sys.path[0] = os.path.dirname(sys.path[0])

from stdlib.modules import LEFT_OUT, MODULES, members

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent

#: Seconds that one test may take before it counts as hung. The longest sleep half a minute by design.
TEST_LIMIT = 150.0
#: The same for a test of which nobody expects that it passes.
EXPECTED_LIMIT = 20.0
#: Seconds that a module may take to be loaded, and to end after its last test.
EDGE_LIMIT = 60.0

#: What CPython's runner calls resources: a test that wants another one is skipped. No network, no display, no
#: disk full of large files.
RESOURCES = ("cpu", "subprocess", "walltime", "decimal", "tzdata", "curses")
#: They ask for the network, and talk to this machine only.
LOCAL = ("test.test_socketserver", "test.test_timeout")

BAD = ("fail", "error", "hang", "crash", "not run")


@dataclass
class Report:
    """What became of the tests of one module."""

    module: str
    #: Test -> pass, skip, fail, error, hang, crash, or "not run" where the set-up of its class or module
    #: failed.
    outcomes: dict[str, str] = field(default_factory=dict)
    #: Test -> traceback or reason.
    texts: dict[str, str] = field(default_factory=dict)
    #: Tests that passed only when they were run once more, alone.
    flaky: list[str] = field(default_factory=list)
    #: What is wrong with the module as a whole: it cannot be loaded, or its process does not end well.
    trouble: list[str] = field(default_factory=list)
    #: Why there is nothing to run, if so.
    skipped: str | None = None
    #: Seconds of the clock, and of the processor.
    wall: float = 0.0
    cpu: float = 0.0

    def bad(self) -> list[str]:
        return [name for name, outcome in self.outcomes.items() if outcome in BAD]

    def summary(self) -> str:
        counts = {each: list(self.outcomes.values()).count(each) for each in ("pass", "skip", *BAD)}
        said = ", ".join(f"{count} {each}" for each, count in counts.items() if count)
        times = f"{self.wall:.1f} s, {self.cpu:.1f} s of the processor"
        return f"{self.module}: {self.skipped or said or 'no tests'} ({times})"


def run(
    module: str,
    *,
    python: str = sys.executable,
    patch: bool = True,
    only: Collection[str] | None = None,
    path: Sequence[str | Path] = (ROOT,),
    limit: float = TEST_LIMIT,
    again: bool = True,
    expected: Collection[str] = (),
) -> Report:
    """Run a module of tests: all of it, or `only` some.

    After a hang or a crash another interpreter goes on with what is left. What is bad is run once more in an
    interpreter of its own, if `again`, and counts as passed if it passes then; but not what is `expected` to
    be bad.
    """
    report = Report(module)
    for name in set(LEFT_OUT if only is None else ()):
        if name.startswith(module + "."):
            report.outcomes[name], report.texts[name] = "skip", LEFT_OUT[name]
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="corolib-stdlib-") as folder:
        job = {
            "module": module,
            "patch": patch,
            "path": [str(each) for each in path] if patch or path != (ROOT,) else [],
            "resources": [*RESOURCES, "network"] if module in LOCAL else list(RESOURCES),
            "only": None if only is None else sorted(only),
        }
        process = _Process(python, Path(folder), limit, frozenset(expected))
        process.go_through(job, report)
        for name in report.bad() if again else ():
            if name not in expected:
                second = Report(module)
                process.go_through({**job, "only": [name]}, second)
                if second.outcomes.get(name) == "pass" and not second.trouble:
                    report.outcomes[name] = "pass"
                    report.flaky.append(name)
        report.cpu = process.cpu
    report.wall = time.monotonic() - began
    return report


class _Process:
    """One interpreter after the other, until all tests of a job are done."""

    def __init__(self, python: str, folder: Path, limit: float, expected: frozenset[str]) -> None:
        self._python = python
        self._folder = folder
        self._limit = limit
        self._expected = expected
        self._runs = 0
        self.cpu = 0.0

    def go_through(self, job: dict[str, Any], report: Report) -> None:
        while self._run(job, report):
            pass

    def _run(self, job: dict[str, Any], report: Report) -> bool:
        """Start one interpreter, and see it to its end. Whether there is something left for another one."""
        self._runs += 1
        folder = self._folder / str(self._runs)
        log = folder / "log"
        for each in (folder, folder / "here", folder / "tmp"):
            each.mkdir()
        (folder / "job").write_text(json.dumps({**job, "log": str(log), "skip": list(report.outcomes)}))
        log.touch()
        environ = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("COROLIB_", "PYTHON", "PYTEST_"))
        }
        with open(folder / "output", "wb") as output:
            started = subprocess.Popen(
                [self._python, str(HERE / "child.py"), str(folder / "job")],
                cwd=folder / "here",
                env={**environ, "TMPDIR": str(folder / "tmp")},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        story = _Story(log)
        killed = self._watch(started, story)
        said = (folder / "output").read_text(errors="replace")[-6000:]
        return story.into(report, started.returncode, killed, said)

    def _watch(self, started: "subprocess.Popen[bytes]", story: "_Story") -> bool:
        """Wait for the end; True if it had to be brought about."""
        killed = False
        since = time.monotonic()
        while True:
            ended, status, usage = os.wait4(started.pid, os.WNOHANG)
            if ended:
                started.returncode = os.waitstatus_to_exitcode(status)
                self.cpu += usage.ru_utime + usage.ru_stime
                # What its tests have left running is of no use to anybody.
                _kill_group(started.pid, signal.SIGKILL)
                story.read()
                return killed
            if story.read():
                since = time.monotonic()
            limit = self._limit if story.current else EDGE_LIMIT
            if story.current in self._expected:
                limit = min(limit, EXPECTED_LIMIT)
            if time.monotonic() - since > limit:
                if killed:
                    _kill_group(started.pid, signal.SIGKILL)
                else:
                    killed = True
                    os.kill(started.pid, signal.SIGABRT)
                since = time.monotonic() - limit + 5
            time.sleep(0.02)


def _kill_group(pid: int, number: int) -> None:
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):
        pass  # nobody is left


class _Story:
    """What a child has written down so far."""

    def __init__(self, log: Path) -> None:
        self._file = open(log, "rb")
        self._rest = b""
        self.events: list[list[Any]] = []
        #: The test that runs.
        self.current: str | None = None

    def read(self) -> bool:
        """Read on; whether there was anything new."""
        new = self._file.read()
        *lines, self._rest = (self._rest + new).split(b"\n")
        for line in lines:
            event = json.loads(line)
            self.events.append(event)
            if event[0] == "begin":
                self.current = event[1]
            elif event[0] == "end":
                self.current = None
        return bool(new)

    def into(self, report: Report, status: int, killed: bool, said: str) -> bool:
        """Add it to a report. Whether another interpreter has to go on."""
        self._file.close()
        tests: list[str] = []
        around: list[tuple[str, str, str]] = []
        done = False
        for kind, *what in self.events:
            if kind == "tests":
                tests = what[0]
            elif kind == "end":
                name, report.outcomes[name], report.texts[name] = what
            elif kind == "around":
                around.append((what[0], what[1], what[2]))
            elif kind == "no module":
                if what[0] == "skip":
                    report.skipped = what[1]
                else:
                    report.trouble.append(f"cannot be loaded: {what[1]}")
            elif kind == "done":
                done = True
        ending = f"status {status}" if status >= 0 else signal.Signals(-status).name
        if self.current is not None:
            report.outcomes[self.current] = "hang" if killed else "crash"
            report.texts[self.current] = f"{ending}\n{said}"
            return True
        if killed or status or not done:
            what = "does not end" if killed else f"ends with {ending}"
            where = "last test" if done else "start"
            report.trouble.append(f"the interpreter {what} after its {where}\n{said}")
        for where, outcome, text in around:
            _spread(where, outcome, text, tests, report)
        return False


def _spread(where: str, outcome: str, text: str, tests: list[str], report: Report) -> None:
    """What a set-up that was skipped or failed means for the tests that it is of."""
    what, _, owner = where.removesuffix(")").partition(" (")
    concerned = [each for each in tests if each.startswith(owner + ".") and each not in report.outcomes]
    for name in concerned:
        report.outcomes[name] = "skip" if outcome == "skip" else "not run"
        report.texts[name] = text
    if outcome != "skip" and not concerned:
        report.trouble.append(f"{what} of {owner}: {text}")


def _modules(names: Sequence[str], python: str) -> Iterator[str]:
    ask = "import os, test.support; print(os.path.dirname(os.path.dirname(test.support.__file__)))"
    asked = subprocess.run([python, "-c", ask], capture_output=True, text=True)
    if asked.returncode != 0:
        sys.exit(f"{python} has no package `test`: {asked.stderr.strip()}")
    for name in names:
        found = members(name.removeprefix("test."), Path(asked.stdout.strip()))
        if not found:
            print(f"{name}: this Python has no such tests")
        yield from found


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "modules",
        nargs="*",
        metavar="MODULE",
        help="such as test_ssl, or test_asyncio for all of it (all modules)",
    )
    parser.add_argument("--python", default=sys.executable, help="the interpreter that runs them (this one)")
    parser.add_argument(
        "--unpatched", action="store_true", help="do not patch: what CPython itself does here"
    )
    parser.add_argument(
        "--only", action="append", metavar="TEST", help="this test and no other, by its full name"
    )
    parser.add_argument("--once", action="store_true", help="do not run a second time what does not pass")
    parser.add_argument("--limit", type=float, default=TEST_LIMIT, help="seconds for each test (%(default)s)")
    parser.add_argument("--json", type=Path, help="write all outcomes to this file")
    options = parser.parse_args()
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # Started in the background by a shell: the interpreters would inherit it, and some tests need it.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    reports = []
    for module in _modules(options.modules or MODULES, options.python):
        report = run(
            module,
            python=options.python,
            patch=not options.unpatched,
            only=options.only,
            limit=options.limit,
            again=not options.once,
        )
        reports.append(report)
        print(report.summary(), flush=True)
        for name in report.bad():
            print(f"  {report.outcomes[name]}: {name}\n{indent(report.texts[name], '    | ')}", flush=True)
        for name in report.flaky:
            print(f"  passed the second time: {name}", flush=True)
        for text in report.trouble:
            print(f"  {indent(text, '    ').lstrip()}", flush=True)
    if options.json:
        options.json.write_text(json.dumps([vars(each) for each in reports], indent=1))
    return 1 if any(each.bad() or each.trouble for each in reports) else 0


if __name__ == "__main__":
    sys.exit(main())
