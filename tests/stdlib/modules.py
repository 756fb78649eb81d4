"""Which modules of CPython's own tests are run."""

import importlib.util
from pathlib import Path

__all__ = ["LEFT_OUT", "MODULES", "folder", "members"]

#: The modules of `test` that have to do with what is patched, or with what greenlets do to the interpreter.
#: Names of packages stand for all modules in them.
MODULES = """
    test_socket test_ssl test_select test_selectors test_poll test_epoll
    test_threading test_thread test_threading_local test_threadsignals test_threadedtempfile
    test_queue test_sched test_timeout test_context test_contextlib test_contextlib_async
    test_subprocess test_popen test_signal test_os test_fork1 test_wait3 test_wait4
    test_socketserver test_asyncore test_asynchat test_smtpd
    test_ftplib test_poplib test_smtplib test_imaplib test_telnetlib test_nntplib
    test_urllib test_urllib2 test_urllib2_localnet test_urllib_response test_urllibnet
    test_httplib test_httpservers test_wsgiref test_xmlrpc test_docxmlrpc test_http_cookiejar
    test_logging test_time test_io test_file_eintr test_eintr test_weakref test_gc
    test_concurrent_futures test_asyncio test_sqlite3 test_multiprocessing_main_handling
    test_robotparser test_uuid test_tempfile test_pty test_builtin test_generators test_coroutines
    test_sys_settrace test_sys_setprofile test_exceptions test_traceback
""".split()

#: Tests that are not run, since they hang: without patching as well, on the machines at hand, or after they
#: have failed.
LEFT_OUT = {
    "test.test_socket.ThreadedVSOCKSocketStreamTest.testStream": "it takes a vsock device for one that works",
    "test.test_threading.ThreadTests.test_PyThreadState_SetAsyncExc_interrupts_sleep": (
        "it starts a thread that sleeps for a day: a greenlet, and nothing ends that by the number of a "
        "native thread"
    ),
}


def folder() -> Path | None:
    """Where the package `test` of this interpreter is, or None:

    some systems have it in a package of its own.
    """
    spec = importlib.util.find_spec("test.support")
    return None if spec is None or spec.origin is None else Path(spec.origin).parent.parent


def members(name: str, where: Path) -> list[str]:
    """The modules of tests that a name, or "package.module", stands for: itself, or those of the package that
    it is. None: [].

    `where` is the folder of the package `test`.
    """
    place = where.joinpath(*name.split("."))
    if place.with_name(f"{place.name}.py").exists():
        return [f"test.{name}"]
    return [f"test.{name}.{file.stem}" for file in sorted(place.glob("test_*.py"))]
