"""Web libraries that know gevent, on corolib: Flask-SocketIO, gevent-websocket, Locust, geventhttpclient."""

import json
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from compat.standing_in import AS_GEVENT, HERE, environ, run_as_gevent, running, wait_until
from helpers import free_port
from programs.running import CROWD, needs

# On a busy machine, that many processes take their time.
pytestmark = [pytest.mark.slow, pytest.mark.outside, pytest.mark.hang_after(300)]


def answers(port: int) -> bool:
    try:
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(
            f"http://127.0.0.1:{port}/", timeout=5
        )
    except OSError:
        return False
    return True


@contextmanager
def served(tmp_path: Path, program: str, *options: str) -> Iterator[int]:
    port = free_port()
    log = tmp_path / "log"
    with running(log, *options, HERE / "programs" / program, port, env=environ()):
        wait_until("an answer", lambda: answers(port))
        yield port
    assert "Traceback" not in log.read_text(), log.read_text()


@pytest.mark.parametrize(
    "transports", [["polling"], ["websocket"], None], ids=["polling", "websocket", "upgrade"]
)
def test_flask_socketio(transports: Any, tmp_path: Path) -> None:
    needs(modules=("flask_socketio", "socketio", "websocket", "geventwebsocket"))
    import socketio

    with served(tmp_path, "socketio_server.py", *AS_GEVENT) as port:
        clients = []
        for _ in range(3):
            client = socketio.Client(handle_sigint=False)  # its handler would stay in this process
            client.got, client.came = [], threading.Event()

            def take(data: object, client: Any = client) -> None:
                client.got.append(data)
                client.came.set()

            client.on("echoed", take)
            client.on("told", take)
            client.connect(f"http://127.0.0.1:{port}", transports=transports)
            clients.append(client)
        first = clients[0]
        assert first.call("transport", timeout=60) == (
            "polling" if transports == ["polling"] else "websocket"
        )
        first.emit("echo", {"text": "ü" * 10_000})
        assert first.came.wait(60)
        assert first.got.pop() == {"text": "ü" * 10_000}
        assert first.call("ask", "ab", timeout=60) == "abab"
        # Those in the room are told, the third is not.
        for client in clients[:2]:
            client.came.clear()
            assert client.call("join", "room", timeout=60) == "room"
        clients[2].emit("tell", ("room", "news"))
        assert all(client.came.wait(60) for client in clients[:2])
        assert [client.got for client in clients] == [["news"], ["news"], []]
        for client in clients:
            client.disconnect()


def test_gevent_websocket(tmp_path: Path) -> None:
    needs(modules=("geventwebsocket", "websocket"))
    import websocket

    with served(tmp_path, "websocket_server.py", *AS_GEVENT) as port:
        sockets = [websocket.create_connection(f"ws://127.0.0.1:{port}/", timeout=60) for _ in range(5)]
        for size in (0, 1, 125, 126, 70_000):
            for each in sockets:
                each.send("ä" * size)
                each.send_binary(b"\0\xff" * size)
            for each in sockets:
                assert each.recv() == "ä" * size
                assert each.recv() == b"\0\xff" * size
        for each in sockets:
            each.close()


def test_locust(tmp_path: Path) -> None:
    needs(modules=("locust",))
    with served(tmp_path, "wsgi_hello.py") as port:
        done = subprocess.run(
            [
                *(sys.executable, *AS_GEVENT, "-m", "locust", "-f", str(HERE / "programs" / "locustfile.py")),
                *(
                    "--headless",
                    "-u",
                    "20",
                    "-r",
                    "20",
                    "-t",
                    "4s",
                    "-H",
                    f"http://127.0.0.1:{port}",
                    "--json",
                ),
            ],
            capture_output=True,
            text=True,
            timeout=200,
            env=environ(),
        )
    assert done.returncode == 0, done.stderr
    found = {each["name"]: each for each in json.loads(done.stdout)}
    assert set(found) == {"requests", "geventhttpclient"}
    for each in found.values():
        # Ten users of each kind; more than ten requests are more than one each.
        assert each["num_requests"] > 10
        assert each["num_failures"] == 0


def test_geventhttpclient(http: str) -> None:
    needs(modules=("geventhttpclient",))
    lines = run_as_gevent("use_geventhttpclient.py", http.rpartition(":")[2], CROWD).splitlines()
    assert lines == [f"{{b'{CROWD} in flight'}}", "1"]
