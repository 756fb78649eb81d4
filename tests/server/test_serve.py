"""`python -m corolib.pywsgi`: processes that serve, are replaced when they die, and end in order."""

import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from http.client import HTTPConnection

import pytest
from helpers import PATIENCE, ROOT, run_isolated

from corolib._serve import load, main

APPLICATION = """
import os, time

def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/die":
        os._exit(9)
    if path == "/slow":
        time.sleep(1)
    if path == "/stuck":
        time.sleep(100)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"TEXT %d" % os.getpid()]

def make():
    return application

def websocket(environ, start_response):
    if "wsgi.websocket" not in environ:
        return application(environ, start_response)
    for message in environ["wsgi.websocket"]:
        environ["wsgi.websocket"].send(message.upper())
    return []

class holder:
    method = staticmethod(application)
"""
LONG = 30 * PATIENCE


class Command:
    """The command, running: what it says, and requests to it."""

    def __init__(self, process):
        self.process = process
        self.said = ""
        self.address = None

    def wait_for(self, pattern):
        """What it has said, once that is in it."""
        until = time.monotonic() + LONG
        while not (found := re.search(pattern, self.said)):
            assert time.monotonic() < until, self.said
            if select.select([self.process.stderr], [], [], 0.1)[0]:
                data = os.read(self.process.stderr.fileno(), 65536)
                assert data, self.said
                self.said += data.decode()
        return found

    def ask(self, path="/"):
        connection = HTTPConnection(*self.address, timeout=LONG)
        try:
            connection.request("GET", path)
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    def until_answered(self):
        """The first answer; before a worker listens there is none."""
        until = time.monotonic() + LONG
        while True:
            try:
                return self.ask()
            except OSError:
                assert time.monotonic() < until, self.said
                time.sleep(0.02)

    def end(self, signum=signal.SIGTERM):
        self.process.send_signal(signum)
        status = self.process.wait(LONG)
        self.said += self.process.stderr.read().decode()
        return status


@contextmanager
def running(folder, *arguments, text="first", bind="127.0.0.1:0", name="application"):
    (folder / "served.py").write_text(APPLICATION.replace("TEXT", text))
    process = subprocess.Popen(
        [sys.executable, "-m", "corolib.pywsgi", f"served:{name}", "--bind", bind, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    command = Command(process)
    try:
        if not bind.startswith("unix:"):
            host, port = command.wait_for(r"http://(.*):(\d+)").groups()
            command.address = host, int(port)
        yield command
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def test_it_serves_and_ends(tmp_path):
    with running(tmp_path, "--log-format", "common") as command:
        assert command.until_answered().startswith("first ")
        assert command.end() == 0
        assert '"GET / HTTP/1.1" 200 ' in command.said
        with pytest.raises(ConnectionRefusedError):
            command.ask()


def test_it_serves_websockets(tmp_path):
    pytest.importorskip("wsproto")
    from corolib import websocket

    with running(tmp_path, "--websocket", name="websocket") as command:
        command.until_answered()
        with websocket.connect("ws://{}:{}/".format(*command.address)) as ws:
            ws.send("hello")
            assert ws.receive() == "HELLO"


@pytest.mark.slow
@pytest.mark.outside
def test_a_worker_that_dies_is_replaced(tmp_path):
    with running(tmp_path, "--workers", "2") as command:
        command.until_answered()
        with pytest.raises(OSError):
            command.ask("/die")
        command.wait_for("ended with status 9: starting another")
        pid = int(command.until_answered().split()[1])
        os.kill(pid, signal.SIGKILL)
        command.wait_for("ended by signal 9: starting another")
        assert command.until_answered().startswith("first ")
        assert command.end(signal.SIGINT) == 0


@pytest.mark.slow
@pytest.mark.outside
def test_what_runs_has_time_to_end_and_what_does_not_is_cut(tmp_path):
    with running(tmp_path, "--grace", "10") as command:
        command.until_answered()
        slow = socket.create_connection(command.address, timeout=LONG)
        slow.sendall(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
        time.sleep(0.2)
        assert command.end() == 0
        assert b" 200 OK" in slow.recv(1000)
        slow.close()
    with running(tmp_path, "--grace", "0.3") as command:
        command.until_answered()
        stuck = socket.create_connection(command.address, timeout=LONG)
        stuck.sendall(b"GET /stuck HTTP/1.1\r\nHost: a\r\n\r\n")
        time.sleep(0.2)
        assert command.end() == 0
        assert "1 connections were cut" in command.said
        stuck.close()


@pytest.mark.slow
@pytest.mark.outside
def test_workers_end_when_the_manager_is_gone(tmp_path):
    with running(tmp_path) as command:
        command.until_answered()
        command.process.kill()
        until = time.monotonic() + LONG
        with pytest.raises(OSError):
            while time.monotonic() < until:
                command.ask()
                time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.outside
def test_a_worker_that_has_just_ended_is_no_trouble_for_the_end_of_all():
    """The signal comes between waitpid() and what is made of that."""
    run_isolated(
        """
        import os, signal
        from corolib.server.prefork import Manager

        def child():
            pid = os.fork()
            if not pid:
                signal.pause()
            return pid

        manager = Manager(2, None, 60, print)
        gone, other = child(), child()
        manager.workers = {gone: (0, 0.0, -1), other: (1, 0.0, -1)}
        os.kill(gone, signal.SIGKILL)
        os.waitpid(gone, 0)
        manager.end()
        assert os.waitstatus_to_exitcode(os.waitpid(other, 0)[1]) == -signal.SIGTERM
        manager.kill()
        """
    )


def test_reload(tmp_path):
    with running(tmp_path, "--reload") as command:
        assert command.until_answered().startswith("first ")
        path = tmp_path / "served.py"
        for text, expected in (("second", "second"), ("syntax error(", None), ("third", "third")):
            time.sleep(0.6)  # it has looked at the file that is there now
            source = APPLICATION.replace("TEXT", text)
            path.write_text(source if expected else text)
            os.utime(path, (time.time() + 10, time.time() + len(command.said) + 20))
            if expected is None:
                command.wait_for("waiting for a change")
                continue
            until = time.monotonic() + LONG
            while not command.until_answered().startswith(expected):
                assert time.monotonic() < until, command.said
                time.sleep(0.02)
        assert command.end() == 0


@pytest.mark.slow
@pytest.mark.outside
def test_a_unix_socket_is_shared_and_removed(tmp_path):
    path = tmp_path / "socket"
    with running(tmp_path, "--workers", "2", bind=f"unix:{path}") as command:
        command.wait_for("listening on unix:")
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(LONG)
        client.connect(str(path))
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert b"first" in client.makefile("rb").read()
        client.close()
        assert command.end() == 0
        assert not path.exists()


@pytest.mark.slow
@pytest.mark.outside
def test_what_cannot_start_says_why(tmp_path):
    with running(tmp_path, text="x" + "\n)") as command:
        assert command.process.wait(LONG) == 1
        said = command.said + command.process.stderr.read().decode()
        assert "SyntaxError" in said
        assert "could not start: giving up" in said


def test_an_address_that_is_taken(capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert main(["a:b", "--bind", f"127.0.0.1:{taken.getsockname()[1]}"]) == 1
    assert "cannot listen: " in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["a:b", "--workers", "0"],
        ["a:b", "--workers", "many"],
        ["a:b", "--header-timeout", "0"],
        ["a:b", "--log-format", "nonsense"],
        ["a:b", "--keyfile", "x"],
    ],
)
def test_arguments_that_are_wrong(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: python -m corolib.pywsgi" in capsys.readouterr().err


def test_names_of_applications(tmp_path, monkeypatch):
    (tmp_path / "served_names.py").write_text(APPLICATION)
    monkeypatch.syspath_prepend(tmp_path)
    application = load("served_names:application")
    assert load("served_names:make()") is application
    assert load("served_names:holder.method") is application
    for wrong, error in (
        ("served_names", ValueError),
        (":x", ValueError),
        ("served_names:", ValueError),
        ("served_names:nothing", AttributeError),
        ("served_nothing:x", ImportError),
        ("served_names:os", TypeError),
    ):
        with pytest.raises(error):
            load(wrong)
