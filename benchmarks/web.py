"""A web server on one core and `wrk` on another, one JSON line.

The server's CPU time is that of all its processes and threads: some have several.
"""

import re
import shutil
import socket
import subprocess
import sys
import time

from compiled import program
from echo import END_S, HERE, WARM_UP_S, allow_many_files, on_cpu_ns, serving
from echo import load as ask
from peers import WEB
from workload import cores, parse, print_line

#: Seconds per unit, in what wrk prints.
UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}


#: An answer's most: its head is of any length.
HTTP_BYTES = 4096


def wrk() -> str:
    """The program that makes the load."""
    found = shutil.which("wrk")
    if found is None:
        sys.exit("web.py: wrk is missing (Debian and Ubuntu: apt-get install wrk)")
    return found


def load(port: int, connections: int, seconds: float, core: int) -> str:
    """What wrk says after so many seconds, which it rounds up."""
    whole = max(1, round(seconds))
    command = [wrk(), "-t1", f"-c{connections}", f"-d{whole}", "--latency", f"http://127.0.0.1:{port}/"]
    return subprocess.run(
        ["taskset", "-c", str(core), *command], check=True, capture_output=True, text=True
    ).stdout


def results(text: str) -> dict[str, float]:
    """The numbers in what wrk says; a failed request ends the measurement."""
    if "Non-2xx" in text or "Socket errors" in text:
        sys.exit(f"web.py: expected answers only, found:\n{text}")
    requests = re.search(r"(\d+) requests in", text)
    rate = re.search(r"Requests/sec:\s*([\d.]+)", text)
    late = {share: re.search(rf"{share}%\s+([\d.]+)([a-z]+)", text) for share in ("50", "99")}
    if requests is None or rate is None or None in late.values() or not int(requests[1]):
        sys.exit(f"web.py: expected numbers from wrk, found:\n{text}")
    values = {"requests": float(requests[1]), "requests_per_s": float(rate[1])}
    for share, found in late.items():
        assert found is not None
        values[f"p{share}_us"] = float(found[1]) * UNITS[found[2]] * 1e6
    return values


def web_command(implementation: str) -> list[str]:
    """What starts the web server of an implementation."""
    row = WEB[implementation]
    if row.style == "program":
        return [str(program(row.source)), "http"]
    return [sys.executable, str(HERE / "web_servers.py"), implementation]


def wait_until_it_listens(port: int) -> None:
    """Some announce their port before they do."""
    until = time.monotonic() + END_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            if time.monotonic() > until:
                sys.exit(f"web.py: nobody listens on port {port}")
            time.sleep(0.05)


def main() -> None:
    """Measure one case with one implementation."""
    options = parse("http", None)
    server_core, client_core = cores()
    allow_many_files()
    wrk()
    connections = int(options.case)
    with serving(web_command(options.implementation), server_core) as (pid, port):
        wait_until_it_listens(port)
        # wrk knows whole seconds only.
        ask(port, connections, HTTP_BYTES, "seconds", WARM_UP_S, client_core, "http")
        before = on_cpu_ns(pid)
        values = results(load(port, connections, options.size / 1000, client_core))
        spent = on_cpu_ns(pid) - before
    print_line("http", options, values | {"cpu_us": spent / 1000 / values["requests"]})


if __name__ == "__main__":
    main()
