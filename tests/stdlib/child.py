"""In an interpreter of its own: patch, load one module of tests, run them, write down what becomes of each.

    python child.py JOB

JOB is a file with one JSON object: see `job` in runner.py. What happens is appended to the file job["log"],
one JSON list a line, and is on the disk before the next test begins: whoever reads it knows which test ran
when this process hung or died.

    ["tests", [name, ...]]          all there are, before the first one runs
    ["begin", name]
    ["end", name, outcome, text]    pass, fail, error or skip
    ["around", name, outcome, text] what failed or skipped is no test but the set-up of a class or module
    ["no module", outcome, text]    it could not be loaded: skip or error
    ["done"]                        all have run; the interpreter ends as it does by itself from here on
"""

import os
import sys


def main() -> None:
    # Before anything is patched, and before tests do to `os` what they like.
    write, file_open, file_close, getpid = os.write, os.open, os.close, os.getpid
    with open(sys.argv[1], "rb") as file:
        text = file.read()
    import json

    job = json.loads(text)
    del sys.argv[1:]
    del sys.path[0]  # this folder: its files are no modules for tests to find
    sys.path[:0] = job["path"]
    if job["patch"]:
        # As a program is told to: before anything else is imported.
        from corolib import monkey

        monkey.patch_all()

    import faulthandler

    faulthandler.enable()  # a hang is ended by SIGABRT: where it stood is on stderr then
    me = getpid()

    def note(*what: object) -> None:
        if getpid() != me:
            return  # the child of a test that forks
        # Opened each time: there are tests that close all descriptors.
        fd = file_open(job["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            write(fd, json.dumps(what).encode() + b"\n")
        finally:
            file_close(fd)

    run(job, note)
    note("done")


def run(job, note) -> None:
    import importlib
    import traceback
    import unittest

    from test import support

    # As in CPython's own runner, without the resources that a machine may not have.
    support.verbose = 0
    support.use_resources = job["resources"]
    try:
        module = importlib.import_module(job["module"])
    except unittest.SkipTest as skipped:
        note("no module", "skip", str(skipped))
        return
    except BaseException:
        note("no module", "error", traceback.format_exc())
        return

    class Result(unittest.TestResult):
        """Writes down the worst that is said about a test while it runs."""

        running = False

        def startTest(self, test):
            self.running, self.outcome, self.text = True, "pass", ""
            note("begin", names[test])

        def stopTest(self, test):
            note("end", names[test], self.outcome, self.text)
            self.running = False

        def found(self, test, outcome, text):
            if test not in names:
                note("around", test.id(), outcome, text)
            elif RANK.index(outcome) > RANK.index(self.outcome):
                self.outcome, self.text = outcome, text

        def addSuccess(self, test):
            pass

        addExpectedFailure = addDuration = lambda *_: None

        def addFailure(self, test, error):
            self.found(test, "fail", self._exc_info_to_string(error, test))

        def addError(self, test, error):
            self.found(test, "error", self._exc_info_to_string(error, test))

        def addSkip(self, test, reason):
            # One of a case's subtests is named by the case that it is part of.
            case = getattr(test, "test_case", test)
            if case in names and not self.running:
                self.startTest(case)  # 3.12.1 ends what it skips without having begun it (gh-113267)
            self.found(case, "skip", str(reason))

        def addUnexpectedSuccess(self, test):
            self.found(test, "fail", "passed, and CPython does not expect that")

        def addSubTest(self, test, subtest, error):
            if error is not None:
                outcome = "fail" if issubclass(error[0], test.failureException) else "error"
                self.found(test, outcome, self._exc_info_to_string(error, test))

    names = Names()
    suite = unittest.defaultTestLoader.loadTestsFromModule(module)
    everything = list(names.add(suite))
    note("tests", everything)
    left = set(everything if job["only"] is None else job["only"]).difference(job["skip"])
    chosen(suite, names, left)
    suite.run(Result())


RANK = ("pass", "skip", "fail", "error")


class Names:
    """Test -> its name; of tests that have the same one the second gets "#2" and so on."""

    def __init__(self) -> None:
        # By identity, and with the test itself: what has run is let go, and its address used again.
        self._of: dict[int, tuple[str, object]] = {}
        self._times: dict[str, int] = {}

    def add(self, suite):
        for each in suite:
            if hasattr(each, "__iter__"):
                yield from self.add(each)
            else:
                name = each.id()
                times = self._times[name] = self._times.get(name, 0) + 1
                if times > 1:
                    name += f"#{times}"
                self._of[id(each)] = name, each
                yield name

    def __contains__(self, test) -> bool:
        return id(test) in self._of

    def __getitem__(self, test) -> str:
        return self._of[id(test)][0]


def chosen(suite, names, wanted) -> None:
    """Take out of a suite all tests that are not wanted.

    The rest keeps its classes, and with them its set-ups.
    """
    suite._tests[:] = [each for each in suite if hasattr(each, "__iter__") or names[each] in wanted]
    for each in suite:
        if hasattr(each, "__iter__"):
            chosen(each, names, wanted)


if __name__ == "__main__":
    main()
