"""Runs the tutorial as its pages tell it: every program, and what the pages say that it writes.

    python tests/tutorial.py

It needs nothing but corolib and the folders docs and examples, so it can be run where only a wheel is
installed. tests/test_tutorial.py runs it for every change (mark `ci`).
"""

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

ROOT = Path(__file__).resolve().parent.parent
PAGES = ROOT / "docs/tutorial"
PROGRAMS = ROOT / "examples/tutorial"
#: The ports that the pages name: of the site, of step 5, of step 6.
SITE, SERVER, WEB = 8001, 8002, 8003
#: Seconds until a program has to have written what the page says.
WAIT = 60


def console_blocks() -> Iterator[tuple[str, str]]:
    """Each command of the pages, and what follows it."""
    for page in sorted(PAGES.glob("*.md")):
        for block in re.findall(r"^```console\n(.*?)^```", page.read_text(), re.M | re.S):
            command, _, output = block.rpartition("$ ")[2].partition("\n")
            yield command, output


def matcher(output: str) -> re.Pattern[str]:
    """What matches the output of a program if it is like that on the page: any lines for "...", any times."""
    lines = [
        r"(?:.*\n)*"
        if line == "..."
        else re.sub(r"\d+\\\.\d+(?=\\ s)", r"\\d+\\.\\d+", re.escape(line)) + r"\n"
        for line in output.splitlines()
    ]
    return re.compile("".join(lines))


class Text:
    """What comes from a stream. `ports`: those that it names, and what the pages have in their place."""

    def __init__(self, lines: Iterator[str], ports: dict[str, int]) -> None:
        self.lines = lines
        self.ports = ports
        self.text = ""
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self) -> None:
        for line in self.lines:
            self.text += line

    def as_shown(self) -> str:
        return re.sub(r"\b\d{4,5}\b", lambda port: str(self.ports.get(port[0], port[0])), self.text)

    def expect(self, expected: str) -> None:
        """Wait until it is what a page shows."""
        pattern = matcher(expected)
        deadline = time.monotonic() + WAIT
        while not pattern.fullmatch(self.as_shown()):
            assert time.monotonic() < deadline, f"expected:\n{expected}\nfound:\n{self.as_shown()}"
            time.sleep(0.02)


class Program:
    """One program of the tutorial, running in a folder of its own."""

    def __init__(self, name: str, folder: str, *arguments: object, ports: dict[str, int]) -> None:
        command = [sys.executable, PROGRAMS / name, *map(str, arguments)]
        environ = {**os.environ, "PYTHONUNBUFFERED": "1", "NO_PROXY": "*", "no_proxy": "*"}
        self.name = name
        self.process = subprocess.Popen(
            command, cwd=folder, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.out = Text(iter(self.process.stdout.readline, ""), ports)
        self.err = Text(iter(self.process.stderr.readline, ""), ports)

    def find_port(self, shown: int) -> str:
        """The port on its first line, for which the pages have another one."""
        until(lambda: "\n" in self.out.text)
        port = re.search(r"\b\d{4,5}\b", self.out.text)[0]
        self.out.ports[port] = shown
        return port

    def end(self, status: int, errors: str = "") -> None:
        """Wait for its end, which must be this."""
        assert self.process.wait(WAIT) == status, (self.name, self.process.returncode, self.err.text)
        self.err.reader.join()
        assert self.err.text == errors, (self.name, self.err.text)

    def ctrl_c(self) -> None:
        self.process.send_signal(signal.SIGINT)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for text, pipe in ((self.out, self.process.stdout), (self.err, self.process.stderr)):
            text.reader.join()
            pipe.close()


def until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + WAIT
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@contextmanager
def running() -> Iterator[tuple[Program, dict[str, Program]]]:
    """The site, and all steps at the same time: they wait most of it."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())

        def start(name: str, *arguments: object) -> Program:
            program = Program(name, folder, *arguments, ports=ports)
            stack.callback(program.close)
            return program

        ports: dict[str, int] = {}
        site = start("slow_site.py", "--port", 0, "--delay", 0.1)
        port = site.find_port(SITE)
        names = sorted(path.name for path in PROGRAMS.glob("step*.py"))
        yield site, {name: start(name, f"http://127.0.0.1:{port}", 0) for name in names}
        assert (Path(folder) / "watch.json").exists()


def read_as_nc(port: str, ports: dict[str, int]) -> Text:
    with socket.create_connection(("127.0.0.1", int(port)), WAIT) as client:
        return Text(iter(client.makefile().readline, ""), ports)


def read_as_curl(port: str, ports: dict[str, int]) -> Text:
    answer = build_opener(ProxyHandler({})).open(f"http://127.0.0.1:{port}/changes", timeout=WAIT)
    return Text((line.decode() for line in answer), ports)


def main() -> None:
    expected = dict(console_blocks())
    with running() as (site, steps):
        for name in ("step1_blocking.py", "step2_at_once.py", "step3_in_time.py"):
            steps[name].end(0)
            steps[name].out.expect(expected.pop(f"python {name}"))
        for name in ("step4_watching.py", "step5_server.py", "step6_web.py"):
            program = steps[name]
            shown = {"step5_server.py": SERVER, "step6_web.py": WEB}.get(name)
            client = None
            if shown is not None:
                port = program.find_port(shown)
                read = read_as_nc if shown == SERVER else read_as_curl
                command = "nc 127.0.0.1 8002" if shown == SERVER else "curl http://127.0.0.1:8003/changes"
                client = read(port, site.out.ports)
                client.expect(expected.pop(command))
            program.out.expect(expected.pop(f"python {name}"))
            program.ctrl_c()
            remembered = "13 pages remembered, 0 requests cut\n" if name == "step6_web.py" else ""
            program.end(130, remembered)
            if client is not None:
                client.reader.join(WAIT)
                assert not client.reader.is_alive(), f"{name} has left its client alone"
        site.out.expect(expected.pop("python slow_site.py"))
        site.ctrl_c()
        assert site.process.wait(WAIT) == 0
    assert set(expected) <= {"python -m pytest test_watching.py"}, f"nobody has run {set(expected)}"
    print("the tutorial does what it says")


if __name__ == "__main__":
    main()
