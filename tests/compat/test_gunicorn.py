"""gunicorn: its own gevent worker on corolib, and ours."""

import json
import os
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import pytest
from compat.standing_in import AS_GEVENT, HERE, environ, running, wait_until
from helpers import free_port
from programs.running import needs

WORKERS = {
    "its own, on corolib": (*AS_GEVENT, "-m", "gunicorn", "-k", "gevent"),
    "its own pywsgi one, on corolib": (*AS_GEVENT, "-m", "gunicorn", "-k", "gevent_pywsgi"),
    "ours": ("-m", "gunicorn", "-k", "corolib.ext.gunicorn.Worker"),
}
#: With --preload the application is loaded before the workers patch: so its own worker cannot.
PRELOADED = {
    "its own, on corolib": (*AS_GEVENT, "--patch", *WORKERS["its own, on corolib"][len(AS_GEVENT) :]),
    "ours": ("-m", "corolib", *WORKERS["ours"]),
}
CROWD = 10

# On a busy machine, that many processes take their time.
pytestmark = [pytest.mark.slow, pytest.mark.outside, pytest.mark.hang_after(300)]


class Web:
    """gunicorn, as its clients and its administrator see it."""

    def __init__(self, port: int, folder: Path, log: Path, process: Any) -> None:
        self.port, self.folder, self.log, self.process = port, folder, log, process

    def get(self, path: str = "/", body: bytes | None = None, **headers: str) -> str:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request("GET" if body is None else "POST", path, body, headers)
            answer = connection.getresponse()
            assert answer.status == 200
            return answer.read().decode()
        finally:
            connection.close()

    def status(self, path: str) -> int:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        finally:
            connection.close()

    def try_get(self) -> str:
        """Empty while it is not there."""
        try:
            return self.get()
        except (OSError, HTTPException):
            return ""

    def workers(self) -> set[str]:
        """Process numbers of those that live."""
        found = set()
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                state, parent = stat.read_text().rpartition(")")[2].split()[:2]
            except OSError:
                continue  # it has ended meanwhile
            if int(parent) == self.process.pid and state != "Z":
                found.add(stat.parent.name)
        return found

    def held(self) -> int:
        note = self.folder / "held"
        return len(note.read_text()) if note.exists() else 0

    @contextmanager
    def holding(self, count: int) -> Iterator[list[str]]:
        """So many requests wait inside the application; let out at the end."""
        answers: list[str] = []
        threads = [threading.Thread(target=lambda: answers.append(self.get("/hold"))) for _ in range(count)]
        for thread in threads:
            thread.start()
        wait_until(f"{count} requests at the same time", lambda: self.held() == count)
        yield answers
        (self.folder / "release").touch()
        for thread in threads:
            thread.join()
        (self.folder / "release").unlink()
        (self.folder / "held").unlink()


@contextmanager
def served(command: tuple[str, ...], folder: Path, *options: object) -> Iterator[Web]:
    needs(modules=("gunicorn",))
    port = free_port()
    shutil.copy(HERE / "programs" / "web_app.py", folder / "web_app.py")
    arguments = (*command, "--bind", f"127.0.0.1:{port}", "--workers", 2, "--no-control-socket", *options)
    log = folder / "log"
    env = environ(WEB_FOLDER=str(folder), PYTHONDONTWRITEBYTECODE="1")
    with running(log, *arguments, "web_app:app", cwd=folder, env=env) as process:
        web = Web(port, folder, log, process)
        wait_until("an answer", web.try_get)
        wait_until("two workers", lambda: len(web.workers()) == 2)
        yield web


def check_service(web: Web) -> None:
    assert web.get("/post", b"hello" * 50_000) == "hello" * 50_000
    with web.holding(CROWD) as answers:
        pass
    assert len(answers) == CROWD
    assert {answer.split()[1] for answer in answers} == {"one"}


def check_a_killed_worker_is_replaced(web: Web) -> None:
    before = web.workers()
    killed = min(before)
    os.kill(int(killed), signal.SIGKILL)
    wait_until("a new worker", lambda: len(web.workers() - {killed}) == 2)
    assert web.get().split()[1] == "one"


def check_the_end_is_in_order(web: Web) -> None:
    with web.holding(1) as answers:
        web.process.send_signal(signal.SIGTERM)
        wait_until("the signal", lambda: "Handling signal: term" in web.log.read_text())
    assert len(answers) == 1
    assert web.process.wait(60) == 0
    assert "Traceback" not in web.log.read_text()


@pytest.mark.parametrize("worker", WORKERS)
def test_serves_reloads_and_stops_in_order(worker: str, tmp_path: Path) -> None:
    with served(WORKERS[worker], tmp_path) as web:
        check_service(web)
        check_a_killed_worker_is_replaced(web)
        before = web.workers()
        program = tmp_path / "web_app.py"
        program.write_text(program.read_text().replace('"one"', '"two"'))
        web.process.send_signal(signal.SIGHUP)
        wait_until("new workers only", lambda: len(web.workers()) == 2 and not before & web.workers())
        assert web.get().split()[1] == "two"
        check_the_end_is_in_order(web)


@pytest.mark.parametrize("worker", PRELOADED)
def test_the_application_may_be_loaded_before_the_workers_are_forked(worker: str, tmp_path: Path) -> None:
    with served(PRELOADED[worker], tmp_path, "--preload") as web:
        check_service(web)
        check_a_killed_worker_is_replaced(web)
        check_the_end_is_in_order(web)


def test_our_worker_obeys_gunicorn_s_settings(tmp_path: Path) -> None:
    options = ("--max-requests", 20, "--access-logfile", "-", "--limit-request-line", 200, "--keep-alive", 1)
    with served(WORKERS["ours"], tmp_path, *options) as web:
        assert web.get("/scheme?x=1") == "http /scheme?x=1"
        assert web.get("/scheme", **{"X-Forwarded-Proto": "https"}) == "https /scheme"
        connection = HTTPConnection("127.0.0.1", web.port, timeout=60)
        connection.request("GET", "/" + "x" * 300)
        assert connection.getresponse().status == 414
        connection.close()
        before = web.workers()
        wait_until("workers renewed", lambda: web.get() and not before & web.workers())
        log = web.log.read_text()
        assert '"GET /scheme?x=1 HTTP/1.1" 200 ' in log
        assert "Autorestarting worker after current request." in log


HOOKS = """
import json

def note(*items):
    with open("hooks", "a") as file:
        file.write(json.dumps(items) + "\\n")

def pre_request(worker, req):
    if req.path == "/refused":
        raise PermissionError(req.path)
    note("before", worker.pid, req.method, req.uri, req.path, req.query, dict(req.headers).get("X-MINE"))

def post_request(worker, req, environ, resp):
    note("after", worker.pid, req.method, req.version, environ["PATH_INFO"], resp.status, resp.sent)
    if req.path == "/fails":
        raise ValueError("told by the hook")
"""


def test_our_worker_calls_gunicorn_s_hooks(tmp_path: Path) -> None:
    (tmp_path / "gunicorn.conf.py").write_text(HOOKS)
    with served(WORKERS["ours"], tmp_path) as web:
        # Of the requests before, some hooks may be still to come.
        def hooks() -> list[list[object]]:
            lines = (tmp_path / "hooks").read_text().splitlines()
            return [each for each in map(json.loads, lines) if each[4] == "/a"]

        pid = int(web.get("/a?b=c", **{"X-Mine": "here"}).split()[0])
        # After the answer, for which the client does not wait.
        wait_until("the hook", lambda: len(hooks()) == 2)
        before, after = hooks()
        assert before == ["before", pid, "GET", "/a?b=c", "/a", "b=c", "here"]
        assert after == ["after", pid, "GET", [1, 1], "/a", "200 OK", len(f"{pid} one")]
        web.get("/fails", **{"X-Mine": "here"})
        wait_until("the log", lambda: "ValueError: told by the hook" in web.log.read_text())
        assert web.status("/refused") == 500
        assert web.get("/b", **{"X-Mine": "here"}).split()[1] == "one"


def test_our_worker_cuts_off_what_takes_too_long(tmp_path: Path) -> None:
    with served(WORKERS["ours"], tmp_path, "--graceful-timeout", 1) as web:
        connection = HTTPConnection("127.0.0.1", web.port, timeout=60)
        connection.request("GET", "/hold")
        wait_until("a request", web.held)
        web.process.send_signal(signal.SIGTERM)
        try:
            assert connection.getresponse().status >= 500
        except (HTTPException, OSError):
            pass  # the connection was cut, or the master was quicker
        connection.close()
        assert web.process.wait(60) == 0
