"""The runner of CPython's tests sees what is planted, and the list of expectations is enforced both ways."""

from pathlib import Path
from textwrap import dedent

import pytest
from helpers import ROOT
from stdlib.expectations import ROWS, complaints, expected, row
from stdlib.modules import LEFT_OUT, MODULES, members
from stdlib.runner import Report, run

PLANTED = """
    import os, sys, time, unittest

    class Ends(unittest.TestCase):
        def test_passes(self): pass
        def test_fails(self): self.fail("this is planted")
        def test_errs(self): raise OSError("planted too")
        def test_skips(self): self.skipTest("no reason")
        @unittest.expectedFailure
        def test_is_expected_to_fail(self): self.fail()
        @unittest.expectedFailure
        def test_passes_unexpectedly(self): pass
        def test_has_a_bad_part(self):
            with self.subTest(1): self.fail("part one")
            with self.subTest(2): pass
        def test_forks(self):
            if os.fork() == 0:
                try: self.fail("only the child")
                finally: os._exit(0)
            os.wait()

    class NeverBegins(unittest.TestCase):
        @classmethod
        def setUpClass(cls): raise ValueError("class is broken")
        def test_one(self): pass

    class Skipped(NeverBegins):
        @classmethod
        def setUpClass(cls): raise unittest.SkipTest("not here")

    class Patched(unittest.TestCase):
        def test_is_cooperative(self):
            import threading, corolib
            self.assertIs(threading.get_ident, corolib.thread.get_ident)
            self.assertNotIn("COROLIB_RESOLVER", os.environ)

    again = Ends.test_passes
    Twice = type("Ends", (unittest.TestCase,), {"test_passes": again, "__qualname__": "Ends"})
"""
BROKEN = """
    import os, signal, time, unittest

    class Breaks(unittest.TestCase):
        def test_a_crash(self): os.kill(os.getpid(), signal.SIGKILL)
        def test_b_exit(self): os._exit(0)
        def test_c_hang(self): signal.signal(signal.SIGALRM, signal.SIG_IGN); time.sleep(1000)
        def test_d_passes(self): pass
        def test_e_passes_at_the_second_run(self):
            try: open({flag!r}, "x").close()
            except FileExistsError: return
            self.fail()
"""


def plant(folder: Path, name: str, source: str) -> None:
    (folder / f"{name}.py").write_text(dedent(source))


def outcomes(report: Report) -> dict[str, str]:
    return {test.partition(".")[2]: outcome for test, outcome in report.outcomes.items()}


def test_each_end_of_a_test_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COROLIB_RESOLVER", "blocking")
    plant(tmp_path, "planted", PLANTED)
    report = run("planted", path=[tmp_path, ROOT], again=False)
    assert outcomes(report) == {
        "Ends.test_passes": "pass",
        "Ends.test_passes#2": "pass",
        "Ends.test_fails": "fail",
        "Ends.test_errs": "error",
        "Ends.test_skips": "skip",
        "Ends.test_is_expected_to_fail": "pass",
        "Ends.test_passes_unexpectedly": "fail",
        "Ends.test_has_a_bad_part": "fail",
        "Ends.test_forks": "pass",
        "NeverBegins.test_one": "not run",
        "Skipped.test_one": "skip",
        "Patched.test_is_cooperative": "pass",
    }
    assert "this is planted" in report.texts["planted.Ends.test_fails"]
    assert "class is broken" in report.texts["planted.NeverBegins.test_one"]
    assert report.trouble == []
    assert report.cpu > 0


def test_after_a_crash_or_a_hang_the_rest_is_run(tmp_path: Path) -> None:
    plant(tmp_path, "broken", BROKEN.format(flag=str(tmp_path / "flag")))
    report = run(
        "broken",
        path=[tmp_path, ROOT],
        limit=1.5,
        expected=[f"broken.Breaks.test_{each}" for each in ("a_crash", "b_exit", "c_hang")],
    )
    assert outcomes(report) == {
        "Breaks.test_a_crash": "crash",
        "Breaks.test_b_exit": "crash",
        "Breaks.test_c_hang": "hang",
        "Breaks.test_d_passes": "pass",
        "Breaks.test_e_passes_at_the_second_run": "pass",
    }
    assert report.flaky == ["broken.Breaks.test_e_passes_at_the_second_run"]
    assert "SIGKILL" in report.texts["broken.Breaks.test_a_crash"]
    assert "in test_c_hang" in report.texts["broken.Breaks.test_c_hang"], "where it stood is to be told"


def test_what_is_skipped_without_a_beginning_is_skipped(tmp_path: Path) -> None:
    """As 3.12.1 does it: first of all tests, and after one that failed."""
    source = """
        import unittest

        class A(unittest.TestCase):
            def run(self, result):
                result.addSkip(self, "why")
                result.stopTest(self)

            def test_skipped(self): pass

        class B(unittest.TestCase):
            def test_fails(self): self.fail()

        class C(A): pass
    """
    plant(tmp_path, "unbegun", source)
    report = run("unbegun", path=[tmp_path, ROOT], patch=False, again=False)
    assert outcomes(report) == {"A.test_skipped": "skip", "B.test_fails": "fail", "C.test_skipped": "skip"}
    assert not report.trouble
    assert report.texts["unbegun.C.test_skipped"] == "why"


@pytest.mark.parametrize(
    ("source", "trouble"),
    [
        ("import no_such_module", "cannot be loaded"),
        ("import atexit, os; atexit.register(os._exit, 3)", "ends with status 3 after its last test"),
        ("import os; os._exit(0)", "ends with status 0 after its start"),
    ],
)
def test_trouble_around_the_tests_is_told(tmp_path: Path, source: str, trouble: str) -> None:
    plant(tmp_path, "edges", source)
    report = run("edges", path=[tmp_path, ROOT])
    assert len(report.trouble) == 1 and trouble in report.trouble[0]
    assert complaints(report, {}, Report("edges")) == [f"edges: {report.trouble[0]}"]


def test_a_module_that_is_not_for_this_machine_is_skipped(tmp_path: Path) -> None:
    plant(tmp_path, "elsewhere", "import unittest; raise unittest.SkipTest('not here')")
    report = run("elsewhere", path=[tmp_path, ROOT])
    assert (report.skipped, report.outcomes, report.trouble) == ("not here", {}, [])


def test_the_list_is_enforced_both_ways() -> None:
    rows = expected(
        "test.m", (3, 11), [row("m", "C.listed C.passes C.gone", "why"), row("m", "C.flaky", "", flaky=True)]
    )
    report = Report("test.m")
    report.outcomes = {
        "test.m.C.listed": "fail",
        "test.m.C.passes": "pass",
        "test.m.C.flaky": "pass",
        "test.m.C.new": "hang",
        "test.m.C.unpatched_too": "fail",
    }
    report.texts = dict.fromkeys(report.outcomes, "text")
    unpatched = Report("test.m", {"test.m.C.unpatched_too": "error"})
    assert complaints(report, rows, unpatched) == [
        "test.m.C.passes is expected not to pass (why), and there is a pass",
        "hang: test.m.C.new\ntext",
        "test.m.C.gone is expected not to pass, and there is no such test",
    ]


def test_rows_count_for_their_module_and_versions_only() -> None:
    rows = [row("m", "C.one other.D.two", "why", ((3, 12),)), row("m.n", "C.three", "why")]
    assert set(expected("test.m", (3, 12), rows)) == {"test.m.C.one", "test.other.D.two"}
    assert set(expected("test.m", (3, 11), rows)) == set()
    assert set(expected("test.m.n", (3, 11), rows)) == {"test.m.n.C.three"}


def test_every_row_says_why_and_is_of_a_module_that_is_run() -> None:
    for each in ROWS:
        assert each.reason.endswith("."), each
        assert each.module.split(".")[1] in MODULES, each


def test_what_is_left_out_is_told_as_skipped_and_can_be_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(
        tmp_path, "small", "import unittest\nclass C(unittest.TestCase):\n    def test_a(self): self.fail()"
    )
    monkeypatch.setitem(LEFT_OUT, "small.C.test_a", "planted")
    report = run("small", path=[tmp_path, ROOT], patch=False, again=False)
    assert (report.outcomes, report.texts) == ({"small.C.test_a": "skip"}, {"small.C.test_a": "planted"})
    report = run("small", path=[tmp_path, ROOT], patch=False, again=False, only=["small.C.test_a"])
    assert report.outcomes == {"small.C.test_a": "fail"}


def test_a_package_stands_for_the_modules_in_it(tmp_path: Path) -> None:
    (tmp_path / "test_alone.py").touch()
    (tmp_path / "test_many").mkdir()
    for name in ("__init__.py", "test_b.py", "test_a.py", "helper.py"):
        (tmp_path / "test_many" / name).touch()
    assert members("test_alone", tmp_path) == ["test.test_alone"]
    assert members("test_many", tmp_path) == ["test.test_many.test_a", "test.test_many.test_b"]
    assert members("test_many.test_b", tmp_path) == ["test.test_many.test_b"]
    assert members("test_gone", tmp_path) == members("test_many.test_gone", tmp_path) == []
