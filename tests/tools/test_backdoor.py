"""A console inside a program that runs."""

import builtins
import io
import logging
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import corolib
from corolib import socket
from corolib.event import Event
from corolib.testing import settle
from corolib.tools.backdoor import BackdoorServer

HERE = ("127.0.0.1", 0)


class Client:
    """What telnet is: says lines, and reads up to a prompt."""

    def __init__(self, server: BackdoorServer) -> None:
        listener = server.socket
        self.sock = socket.socket(listener.family)
        self.sock.settimeout(60)
        self.sock.connect(listener.getsockname())
        self.buffer = b""

    def until(self, end: bytes) -> str:
        while end not in self.buffer:
            data = self.sock.recv(4096)
            assert data, self.buffer
            self.buffer += data
        found, _, self.buffer = self.buffer.partition(end)
        return found.decode()

    def ask(self, line: str | bytes, prompt: bytes = b">>> ") -> str:
        self.say(line)
        return self.until(prompt)

    def say(self, line: str | bytes) -> None:
        self.sock.sendall((line if isinstance(line, bytes) else line.encode()) + b"\r\n")

    def is_closed(self) -> bool:
        return self.sock.recv(1) == b""


@pytest.fixture
def serve() -> Iterator[Any]:
    made: list[Any] = []

    def serve(**options: Any) -> tuple[BackdoorServer, Client]:
        server = BackdoorServer(options.pop("listener", HERE), **options)
        server.start()
        made.append(server)
        return server, add(server)

    def add(server: BackdoorServer) -> Client:
        client = Client(server)
        made.append(client.sock)
        return client

    serve.add = add  # type: ignore[attr-defined]
    before = sys.stdin, sys.stdout, sys.stderr, sys.displayhook
    yield serve
    for each in made:
        each.close()
    settle()
    assert (sys.stdin, sys.stdout, sys.stderr, sys.displayhook) == before


def test_lines_are_executed_in_a_copy_of_the_locals(serve: Any) -> None:
    names = {"shared": [1], "own": 1}
    server, client = serve(locals=names, banner="welcome")
    assert client.until(b">>> ") == "welcome\r\n"
    assert client.ask("own = 2") == ""
    assert client.ask("own, __name__") == "(2, '__console__')\r\n"
    assert client.ask("shared.append(2)") == ""
    other = serve.add(server)
    other.until(b">>> ")
    assert other.ask("own, shared") == "(1, [1, 2])\r\n"
    assert names == {"shared": [1, 2], "own": 1}


def test_the_default_banner_names_the_python(serve: Any) -> None:
    _, client = serve()
    assert client.until(b">>> ") == f"Python {sys.version} on {sys.platform}\n".replace("\n", "\r\n")


def test_blocks_errors_and_the_last_result(serve: Any) -> None:
    _, client = serve(banner="")
    client.until(b">>> ")
    assert client.ask("def double(x):", b"... ") == ""
    assert client.ask("    return 2 * x", b"... ") == ""
    assert client.ask("") == ""
    assert client.ask("double(21)") == "42\r\n"
    assert client.ask("_ + 1") == "43\r\n"
    assert not hasattr(builtins, "_")
    assert client.ask("None") == ""
    assert re.fullmatch(r"Traceback.*ZeroDivisionError: .*\r\n", client.ask("1 / 0"), re.DOTALL)
    assert "SyntaxError" in client.ask("1 +")
    assert client.ask("import sys; sys.stderr.write('x') and None") == "x"


def test_printing_reaches_the_console_and_nobody_else(serve: Any, capsys: Any) -> None:
    _, client = serve(banner="", locals={"corolib": corolib})
    client.until(b">>> ")
    print("before")
    assert client.ask("print('grüße', 1)") == "grüße 1\r\n"
    client.say("corolib.sleep(0.01); print('later')")
    settle()
    print("meanwhile")  # while a line of the console waits
    assert client.until(b">>> ") == "later\r\n"
    assert client.ask("g = corolib.spawn(print, 'spawned'); g.join()") == ""
    assert capsys.readouterr() == ("before\nmeanwhile\nspawned\n", "")


def test_consoles_do_not_see_each_other(serve: Any) -> None:
    gate = Event()
    server, ann = serve(banner="", locals={"gate": gate, "corolib": corolib})
    bob = serve.add(server)
    ann.until(b">>> ")
    bob.until(b">>> ")
    ann.say("gate.wait() and print('ann')")
    settle()
    assert bob.ask("5") == "5\r\n"
    bob.say("corolib.sleep(0.01) or 'bob'")
    settle()
    gate.set()
    assert ann.until(b">>> ") == "ann\r\n"
    assert ann.ask("6") == "6\r\n"
    assert bob.until(b">>> ") == "'bob'\r\n"
    assert (bob.ask("_"), ann.ask("_")) == ("'bob'\r\n", "6\r\n")


def test_input_and_the_like_read_from_the_client(serve: Any) -> None:
    _, client = serve(banner="")
    client.until(b">>> ")
    client.say("name = input('who? ')")
    assert client.until(b"who? ") == ""
    assert client.ask("bob") == ""
    assert client.ask("name") == "'bob'\r\n"
    assert client.ask("import sys; sys.stdin.isatty(), sys.stdout.encoding") == "(False, 'utf-8')\r\n"


@pytest.mark.parametrize("line", ["exit()", "quit(3)", "raise SystemExit", b"\x04"])
def test_how_a_console_ends(serve: Any, line: str | bytes) -> None:
    server, client = serve(banner="")
    client.until(b">>> ")
    client.say(line)
    assert client.is_closed()
    assert server.started
    other = serve.add(server)
    other.until(b">>> ")


def test_a_client_that_goes_away_is_no_error(serve: Any, capfd: Any) -> None:
    _, client = serve(banner="")
    client.until(b">>> ")
    client.sock.close()
    settle()
    assert capfd.readouterr() == ("", "")


def test_what_telnet_says_for_itself_is_left_out(serve: Any) -> None:
    _, client = serve(banner="")
    client.until(b">>> ")
    client.sock.sendall(b"\xff\xfd\x01\xff\xfa\x18\x00xterm\xff\xf0")
    assert client.ask(b"'a\xff\xfb\x03b'") == "'ab'\r\n"
    client.sock.sendall(b"'c\xff")
    settle()
    client.sock.sendall(b"\xfd")
    settle()
    assert client.ask(b"\x06d'") == "'cd'\r\n"


def test_ctrl_c_gives_up_what_was_being_typed(serve: Any) -> None:
    _, client = serve(banner="")
    client.until(b">>> ")
    assert client.ask("if True:", b"... ") == ""
    client.sock.sendall(b"    pri\xff\xf4\xff\xfd\x06")
    assert client.until(b">>> ") == "\r\nKeyboardInterrupt\r\n"
    assert client.ask("1") == "1\r\n"


def test_a_stream_that_was_redirected_meanwhile_is_left_alone(serve: Any) -> None:
    before = sys.stdout
    _, client = serve(banner="")
    client.until(b">>> ")
    stand_in = sys.stdout
    assert stand_in is not before
    sys.stdout = mine = io.StringIO()
    client.say("exit()")
    assert client.is_closed()
    settle()
    assert sys.stdout is mine
    sys.stdout = stand_in  # as contextlib.redirect_stdout() does at its end
    assert sys.stdout.fileno() == before.fileno()
    _, client = serve(banner="")
    client.until(b">>> ")
    assert client.ask("print('x')") == "x\r\n"
    client.say("exit()")
    assert client.is_closed()
    sys.stdout = before


def test_a_unix_socket(serve: Any, tmp_path: Path) -> None:
    _, client = serve(listener=f"unix:{tmp_path}/console", banner="")
    client.until(b">>> ")
    assert client.ask("1 + 1") == "2\r\n"


def test_an_address_that_others_reach_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), BackdoorServer(":0") as server:
        server.start()
        assert "whoever can connect" in caplog.text
    caplog.clear()
    with BackdoorServer(HERE) as server:
        server.start()
        assert caplog.text == ""
