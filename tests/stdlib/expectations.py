"""Which of CPython's own tests do not pass after patch_all(), and why not: the only ones that may fail, and
they have to.

A row that is wrong either way fails the run: a test that is not listed and does not pass, one that is listed
and passes, one that is not there. What does not pass without patching either is no business of this list:
such a test is run once more without, before it is complained of.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from stdlib.runner import BAD, Report

ALL = ((3, 11), (3, 12), (3, 13), (3, 14), (3, 15))
OLDER = ALL[:2]
NEWER = ALL[1:]


class Row(NamedTuple):
    #: Full names of tests.
    tests: frozenset[str]
    #: The module that they are run with; it may have taken them from another one.
    module: str
    #: The versions of Python for which it holds.
    versions: tuple[tuple[int, int], ...]
    #: What differs, and why it stays so.
    reason: str
    #: Fails at times only; `reason` says on what that depends.
    flaky: bool


def row(
    module: str,
    tests: str,
    reason: str,
    versions: tuple[tuple[int, int], ...] = ALL,
    flaky: bool = False,
) -> Row:
    """Tests are named from their class on, those that come from another module from that module on."""
    names = (f"{each}" if each[0].islower() else f"{module}.{each}" for each in tests.split())
    return Row(frozenset(f"test.{each}" for each in names), f"test.{module}", versions, reason, flaky)


NON_BLOCKING = (
    "Looks at the descriptor itself, which is non-blocking whatever the socket's timeout says: it is waited "
    "for in the loop."
)

SLOW_CLOSE = "CBufferedWriterTest.test_slow_close_from_thread CBufferedRandomTest.test_slow_close_from_thread"
SLOW_CLOSE_WHY = (
    "A raw file in Python that sleeps, under a buffer in C: that one takes a second greenlet of the same "
    "native thread for a call of itself, and refuses it with RuntimeError."
)

ROWS = (
    row(
        "test_socket",
        "NonBlockingTCPTests.testSetBlocking NonblockConstantTest.test_SOCK_NONBLOCK",
        NON_BLOCKING,
    ),
    row("test_socket", "NonBlockingTCPTests.testSetBlocking_overflow", NON_BLOCKING, ALL[:1]),
    row(
        "test_threading",
        "ThreadTests.test_various_ops ThreadTests.test_various_ops_large_stack "
        "ThreadTests.test_various_ops_small_stack",
        "Wants native identifiers that differ: all greenlets of a native thread have that thread's, by which "
        "the kernel knows it.",
    ),
    row(
        "test_threading",
        "ThreadTests.test_PyThreadState_SetAsyncExc",
        "Raises an exception in a native thread by its identifier; a greenlet has Greenlet.kill() for that.",
    ),
    row(
        "test_threading",
        "MiscTestCase.test_set_name MiscTestCase.test_change_name",
        "Want the kernel to know a thread by its name: that is the native thread's, which belongs to all its "
        "greenlets.",
        ALL[3:],
    ),
    row(
        "test_threading",
        "InterruptMainTests.test_can_interrupt_tight_loops",
        "Two threads each compute until the other has done something: a greenlet that never waits keeps "
        "others from running.",
    ),
    row(
        "test_threading",
        "EventTests.test_at_fork_reinit",
        "Reaches for the condition inside an Event: there is none.",
    ),
    row(
        "test_threading",
        "ThreadTests.test_foreign_thread ThreadTests.test_ident_of_no_threading_threads",
        "Want the entry of a thread that threading has not started to outlive it; it goes with the greenlet, "
        "as it does in the standard library from 3.13 on.",
        OLDER,
    ),
    row(
        "test_threading",
        "ThreadTests.test_disallow_instantiation",
        "The type of a lock can be called, as in the standard library from 3.13 on.",
        OLDER,
    ),
    row(
        "test_ssl",
        "ThreadedTests.test_got_eof",
        "Reads through the object of the C module inside a socket and takes for granted that this one waits: "
        "it stands on a descriptor that is non-blocking, and SSLSocket does the waiting.",
        ALL[3:],
    ),
    row(
        "test_fork1",
        "ForkTest.test_threaded_import_lock_fork",
        "Holds the interpreter's lock of all imports while it waits; that belongs to the native thread, so "
        "another greenlet may fork meanwhile; an import does not hold it for the length of the import.",
    ),
    row(
        "test_signal",
        "StressTest.test_stress_modifying_handlers",
        "A thread sends signals in a loop in which it never waits, which keeps others from running.",
    ),
    row(
        "test_threading",
        "CRLockTests.test_constructor_noargs",
        "An RLock takes arguments and does nothing with them, as the standard library's does before 3.15.",
        ALL[4:],
    ),
    row(
        "test_queue",
        "CSimpleQueueTest.test_simplequeue_sizeof",
        "Wants the size of the standard library's C structure.",
        ALL[4:],
    ),
    row(
        "test_subprocess",
        "FastWaitTestCase.test_pidfd_open_notification_without_immediate_reap "
        "FastWaitTestCase.test_pidfd_open_race FastWaitTestCase.test_wait_pidfd_open_error",
        "Put something else in the place of the calls by which Popen.wait() waits for a pidfd, and want that "
        "called: here the loop waits for it.",
        ALL[4:],
    ),
    row(
        "test_concurrent_futures.test_thread_pool",
        "ThreadPoolExecutorTest.test_process_fork_from_a_threadpool",
        "Wants the warning that a process with several native threads is forked: there is one.",
        ALL[3:],
    ),
    row(
        "test_logging",
        "ConfigDictTest.test_config_queue_handler",
        "Asks again and again whether a thread has emptied a queue, and never waits (it takes a generator "
        "for what that yields), which keeps others from running.",
        NEWER,
    ),
    row(
        "test_logging",
        "RotatingFileHandlerTest.test_should_not_rollover_named_pipe",
        "Opens a named pipe in two threads: open() waits in the kernel until the other end is opened, too, "
        "which keeps others from running.",
        ALL[3:],
    ),
    row(
        "test_threadsignals",
        "ThreadSignals.test_signals",
        "A signal's handler runs in whichever greenlet is current, so it may see a thread other than "
        "the main one.",
    ),
    row("test_io", SLOW_CLOSE, SLOW_CLOSE_WHY, ALL[:4]),
    row("test_io.test_bufferedio", SLOW_CLOSE, SLOW_CLOSE_WHY, ALL[4:]),
)


def expected(module: str, version: tuple[int, int], rows: Iterable[Row] = ROWS) -> dict[str, Row]:
    """Test -> its row, of one module."""
    return {
        test: each
        for each in rows
        if each.module == module and version in each.versions
        for test in each.tests
    }


def complaints(report: Report, rows: Mapping[str, Row], unpatched: Report) -> list[str]:
    """What is not as it is expected to be.

    `unpatched` holds at least what of the bad ones is not expected.
    """
    found = [f"{report.module}: {text}" for text in report.trouble]
    for test, outcome in report.outcomes.items():
        row = rows.get(test)
        if outcome in BAD:
            if row is None and unpatched.outcomes.get(test) not in BAD:
                found.append(f"{outcome}: {test}\n{report.texts[test]}")
        elif row is not None and not row.flaky:
            found.append(f"{test} is expected not to pass ({row.reason}), and there is a {outcome}")
    found += [
        f"{test} is expected not to pass, and there is no such test"
        for test in rows
        if test not in report.outcomes
    ]
    return found
