"""The documentation is built without a warning, and its pages tell the truth: their programs run."""

import importlib.util
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import needed
import pytest
from helpers import ROOT, run_isolated
from snippets import SHOWN, blocks, sessions

PAGES = [
    ROOT / "README.md",
    *(page for page in sorted((ROOT / "docs").rglob("*.md")) if not {"_build", ".venv"} & {*page.parts}),
]
SHOWN_PROGRAMS = ROOT / "examples" / "docs"
#: Blocks that tell Sphinx something; what they include is a file with a test of its own.
DIRECTIVES = {"{include}", "{literalinclude}", "{toctree}", "{eval-rst}", "{image}", "{figure}"}


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize(
    ("page", "session"),
    [
        pytest.param(page, number, id=f"{name_of(page)}-{number}")
        for page in PAGES
        for number in range(len(sessions(page)))
    ],
)
def test_what_a_page_shows_runs(page: Path, session: int) -> None:
    run_isolated(ROOT / "tests" / "snippets.py", page, session, free_port(), options=("-W", "error"))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_nothing_that_a_page_shows_goes_without_a_test(page: Path) -> None:
    for block in blocks(page):
        where = f"{name_of(page)}:{block.line}"
        known = {"python", "pycon", "sh", "console", "new interpreter"} | SHOWN | DIRECTIVES
        assert block.language in known, where
        if block.language in ("sh", "console"):
            assert block.tested_by, f"{where}: no test is named that runs these commands"
        for test in block.tested_by:
            path, _, function = test.partition("::")
            assert (ROOT / path).exists(), f"{where}: there is no {path}"
            assert f"def {function}" in (ROOT / path).read_text(), f"{where}: there is no {test}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_programs_stand_between_fences(page: Path) -> None:
    """Not indented, which no test would find."""
    lines = page.read_text().split("\n")
    inside = {
        number
        for block in blocks(page)
        for number in range(block.line - 1, block.line + block.text.count("\n") + 2)
    }
    for number, line in enumerate(lines, 1):
        if line.startswith("    ") and not lines[number - 2].strip():
            assert number in inside, f"{name_of(page)}:{number}"


def sphinx(target: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Build what docs/build builds, with this interpreter."""
    if importlib.util.find_spec("sphinx") is None:
        needed.cannot("Sphinx is not installed (the extra `docs`)")
    command = [
        *(sys.executable, "-m", "sphinx", "-q", "-b", "html"),
        *options,
        str(ROOT / "docs"),
        str(target),
    ]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900)


@pytest.mark.ci
@pytest.mark.slow
@pytest.mark.hang_after(900)
def test_the_documentation_is_built_without_a_warning(tmp_path: Path) -> None:
    done = sphinx(tmp_path / "html", "--fail-on-warning", "--keep-going", "-d", str(tmp_path / "doctrees"))
    assert (done.returncode, done.stderr) == (0, "")
    landing = (tmp_path / "html" / "index.html").read_text()
    assert "ten thousand" in landing
    # A page for each file that is linked to, so that nothing leads to the network or to nowhere.
    assert (tmp_path / "html" / "_files" / "examples" / "deadlock.py.html").exists()
    reference = (tmp_path / "html" / "reference" / "queue.html").read_text()
    # What a class inherits stands with the class that has it.
    assert 'id="corolib.queue.Queue"' in reference
    assert 'id="corolib.queue.SimpleQueue.get"' in reference


# -- docs/getting-started.md, whose programs are files of examples/docs/ -------------------------------------


def test_the_first_program() -> None:
    done = run_isolated(SHOWN_PROGRAMS / "first_program.py")
    assert done.stdout.startswith(f"{sum(n * n for n in range(10_000))} after a good second")
    assert done.stderr == ""
    (in_the_readme,) = (block.text for block in blocks(ROOT / "README.md") if block.language == "python")
    assert in_the_readme in (SHOWN_PROGRAMS / "first_program.py").read_text()


def test_the_first_server(tmp_path: Path) -> None:
    port = free_port()
    program = (SHOWN_PROGRAMS / "first_server.py").read_text().replace("8000", str(port))
    (tmp_path / "first_server.py").write_text(program)
    with subprocess.Popen(
        [sys.executable, tmp_path / "first_server.py"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as server:
        clients = [connected(port, server) for _ in range(3)]
        for number, client in enumerate(clients):
            client.sendall(b"line %d\n" % number)
        for number, client in enumerate(clients):
            assert client.recv(100) == b"LINE %d\n" % number
            client.close()
        server.send_signal(signal.SIGINT)
        assert server.communicate(timeout=60) == (f"127.0.0.1:{port} waits for lines, Ctrl-C ends it\n", "")
    assert server.returncode == 130


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


def connected(port: int, server: "subprocess.Popen[str]") -> socket.socket:
    """A connection to a server that may not listen yet."""
    while server.poll() is None:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=60)
        except ConnectionRefusedError:
            time.sleep(0.01)
    raise AssertionError(f"the server has ended: {server.communicate()}")


@pytest.mark.parametrize("name", ["check_links.py", "check_links_at_once.py"])
def test_a_script_with_requests_before_and_after(name: str) -> None:
    """The plain one has one request under way at a time, the other one all three."""
    pytest.importorskip("requests", reason="requests is not installed (the extra `programs`)")
    crowd = 3 if name == "check_links_at_once.py" else 1
    barrier = threading.Barrier(crowd)

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            barrier.wait(60)  # nobody is answered before so many have asked
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        urls = [f"http://127.0.0.1:{server.server_port}/{page}" for page in range(3)]
        done = run_isolated(SHOWN_PROGRAMS / name, *urls, env={"NO_PROXY": "*", "no_proxy": "*"})
        server.shutdown()
        thread.join()
    *lines, last = done.stdout.splitlines()
    assert lines == [f"200 {url}" for url in urls]
    assert re.fullmatch(r"\d+\.\d s", last)


def test_the_program_that_is_stuck() -> None:
    done = run_isolated(SHOWN_PROGRAMS / "stuck.py", check=False)
    assert done.returncode == 1
    assert "LoopExit" in done.stderr
    assert "a circle of 2" in done.stderr
    assert "with second:" in done.stderr


def test_the_test_that_takes_no_time() -> None:
    options = ("-q", "-p", "no:cacheprovider", "-p", "no:hypothesispytest", "-c", os.devnull)
    done = run_isolated(
        "import pytest, sys; sys.exit(pytest.main(sys.argv[1:]))",
        *options,
        SHOWN_PROGRAMS / "test_in_no_time.py",
    )
    assert "2 passed" in done.stdout


def test_the_tests_in_the_page_on_testing_pass(tmp_path: Path) -> None:
    (program,) = (block.text for block in blocks(ROOT / "docs/testing.md"))
    (tmp_path / "test_page.py").write_text(program)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:hypothesispytest"),
            *("--corolib-leaks", "--corolib-block-limit=30", "--corolib-hang-after=60", "test_page.py"),
        ],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=80,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "53 passed" in done.stdout
