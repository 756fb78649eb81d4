"""Debuggers and tracers that know gevent, on corolib: what belongs to a greenlet stays with it."""

import json
import socket
from pathlib import Path
from typing import Any

import pytest
from compat.standing_in import AS_GEVENT, HERE, SOON, environ, run_as_gevent, running, wait_until
from helpers import free_port
from programs.running import needs

# On a busy machine, that many processes take their time.
pytestmark = [pytest.mark.slow, pytest.mark.outside, pytest.mark.hang_after(300)]


def test_sentry() -> None:
    needs(modules=("sentry_sdk",))
    assert run_as_gevent("use_sentry.py") == "True True\n"


def test_opentelemetry() -> None:
    needs(modules=("opentelemetry.sdk",))
    assert run_as_gevent("use_opentelemetry.py") == "True\n20 10\n"


@pytest.mark.parametrize("profiled", [False, True])
def test_ddtrace(profiled: bool, tmp_path: Path) -> None:
    """With its integration for gevent, which puts classes of its own in the place of those here; and with its
    profiler, which follows the frames of greenlets in a thread of C++.
    """
    needs(modules=("ddtrace",))
    env = {"DD_INSTRUMENTATION_TELEMETRY_ENABLED": "false", "DD_REMOTE_CONFIGURATION_ENABLED": "false"}
    env |= {"DD_PROFILING_ENABLED": str(profiled), "DD_PROFILING_OUTPUT_PPROF": str(tmp_path / "profile")}
    lines = run_as_gevent("use_ddtrace.py", env=env).splitlines()
    assert lines == ["TracedGreenlet TracedGreenlet TracedGreenlet", "21 2"]
    assert bool([*tmp_path.glob("profile*.pprof")]) == profiled


class Debugger:
    """What an editor is to debugpy: it speaks the Debug Adapter Protocol."""

    def __init__(self, port: int) -> None:
        self.connection = socket.create_connection(("127.0.0.1", port), SOON)
        self.file = self.connection.makefile("rb")
        self.sent = 0
        self.events: list[dict[str, Any]] = []
        self.answers: dict[int, dict[str, Any]] = {}

    @classmethod
    def of(cls, port: int) -> "Debugger | None":
        """None while it does not listen."""
        try:
            return cls(port)
        except ConnectionRefusedError:
            return None

    def send(self, command: str, **arguments: object) -> int:
        self.sent += 1
        message: dict[str, object] = {"seq": self.sent, "type": "request", "command": command}
        if arguments:
            message["arguments"] = arguments
        data = json.dumps(message).encode()
        self.connection.sendall(b"Content-Length: %d\r\n\r\n%s" % (len(data), data))
        return self.sent

    def read(self) -> None:
        length = 0
        while line := self.file.readline().strip():
            length = int(line.rpartition(b":")[2])
        message = json.loads(self.file.read(length))
        if message["type"] == "event":
            self.events.append(message)
        elif message["type"] == "response":
            assert message["success"], message["message"]
            self.answers[message["request_seq"]] = message

    def answer(self, request: int) -> dict[str, Any]:
        while request not in self.answers:
            self.read()
        return self.answers.pop(request).get("body", {})

    def ask(self, command: str, **arguments: object) -> dict[str, Any]:
        return self.answer(self.send(command, **arguments))

    def event(self, name: str) -> dict[str, Any]:
        while True:
            for event in self.events:
                if event["event"] == name:
                    self.events.remove(event)
                    return event.get("body", {})
            self.read()


def test_debugpy_stops_in_a_greenlet(tmp_path: Path) -> None:
    """As it wants to be used with gevent: GEVENT_SUPPORT, and imported before anything is patched."""
    needs(modules=("debugpy",))
    program = HERE / "programs" / "use_debugpy.py"
    line = program.read_text().splitlines().index("    return squared  # the breakpoint") + 1
    port = free_port()
    log = tmp_path / "log"
    env = environ(GEVENT_SUPPORT="True", PYDEVD_DISABLE_FILE_VALIDATION="1")
    command = (*AS_GEVENT, "-m", "debugpy", "--listen", f"127.0.0.1:{port}", "--wait-for-client", program)
    with running(log, *command, env=env) as process:
        debugger = wait_until("the debugger", lambda: Debugger.of(port))
        debugger.ask("initialize", adapterID="tests", pathFormat="path")
        attached = debugger.send("attach", justMyCode=True)
        debugger.event("initialized")
        debugger.ask("setBreakpoints", source={"path": str(program)}, breakpoints=[{"line": line}])
        debugger.ask("configurationDone")
        debugger.answer(attached)
        found = []
        for _ in range(2):
            stopped = debugger.event("stopped")
            assert stopped["reason"] == "breakpoint"
            frames = debugger.ask("stackTrace", threadId=stopped["threadId"])["stackFrames"]
            assert (frames[0]["name"], frames[0]["line"]) == ("work", line)
            value = debugger.ask("evaluate", expression="squared", frameId=frames[0]["id"])["result"]
            found.append(int(value))
            debugger.ask("continue", threadId=stopped["threadId"])
        assert sorted(found) == [9, 16]
        assert process.wait(60) == 0
        debugger.file.close()
        debugger.connection.close()
    assert "[9, 16]" in log.read_text()
