"""The Autobahn test-suite against corolib.websocket, both sides.

    autobahn.py [--cases 1.* 2.*] [--client] -- COMMAND OF WSTEST

The suite (autobahntestsuite 0.8.2) runs on Python 2.7 only: install it there, and name what starts its wstest
after `--`. Without --client it plays the client and fuzzes an echo server here; with it, it plays the server
and fuzzes a client here. Prints what is not OK, and ends with 1 if anything is not.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import corolib
from corolib.hub import sleep
from corolib.subprocess import Popen
from corolib.websocket import WebSocketServer, connect

sys.path.insert(0, str(Path(__file__).parents[1]))
from helpers import free_port

LIMIT = 1 << 25
#: INFORMATIONAL: the suite asks for no particular behaviour; NON-STRICT: right, but later than could be.
FINE = ("OK", "INFORMATIONAL")
AGENT = "corolib"


def echo(ws: Any) -> None:
    for message in ws:
        ws.send(message)


def run_suite(command: list[str], mode: str, spec: dict[str, Any], folder: Path) -> Popen[bytes]:
    path = folder / "spec.json"
    path.write_text(json.dumps(spec))
    return Popen([*command, "-m", mode, "-s", str(path)], stdout=sys.stderr)


def fuzz_server(command: list[str], cases: list[str], folder: Path) -> None:
    with WebSocketServer(("127.0.0.1", 0), echo, options={"max_message": LIMIT}) as server:
        server.start()
        url = f"ws://127.0.0.1:{server.server_port}"
        spec = {
            "outdir": str(folder),
            "servers": [{"agent": AGENT, "url": url}],
            "cases": cases,
            "exclude-cases": [],
            "exclude-agent-cases": {},
        }
        process = run_suite(command, "fuzzingclient", spec, folder)
        if process.wait() != 0:
            sys.exit(f"wstest ended with {process.returncode}")


def fuzz_client(command: list[str], cases: list[str], folder: Path) -> None:
    url = f"ws://127.0.0.1:{free_port()}"
    spec = {
        "url": url,
        "outdir": str(folder),
        "cases": cases,
        "exclude-cases": [],
        "exclude-agent-cases": {},
        "webport": 0,
    }
    process = run_suite(command, "fuzzingserver", spec, folder)
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                with connect(f"{url}/getCaseCount") as ws:
                    count = int(ws.receive() or 0)
                break
            except ConnectionRefusedError:
                if process.poll() is not None or time.monotonic() > deadline:
                    sys.exit("wstest does not listen")
                sleep(0.2)
        for case in range(1, count + 1):
            with connect(f"{url}/runCase?case={case}&agent={AGENT}", max_message=LIMIT) as ws:
                try:
                    echo(ws)
                except corolib.websocket.WebSocketClosed:  # type: ignore[attr-defined]
                    pass
        connect(f"{url}/updateReports?agent={AGENT}").close()
    finally:
        process.terminate()
        process.wait()


def report(folder: Path) -> int:
    (results,) = json.loads((folder / "index.json").read_text()).values()
    bad = {
        case: (each["behavior"], each["behaviorClose"])
        for case, each in results.items()
        if each["behavior"] not in FINE or each["behaviorClose"] not in FINE
    }
    counts: dict[str, int] = {}
    for each in results.values():
        counts[each["behavior"]] = counts.get(each["behavior"], 0) + 1
    print(f"{len(results)} cases: {counts}", flush=True)
    for case in sorted(bad, key=lambda name: [int(part) for part in name.split(".")]):
        print(f"  {case}: {bad[case][0]}, close {bad[case][1]}")
    return int(bool(bad))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cases", nargs="+", default=["*"])
    parser.add_argument("--client", action="store_true")
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    bad = 0
    for cases in options.cases:
        # Each is a run of its own: its results are there when it is over, and 12.* with 13.* take hours.
        with tempfile.TemporaryDirectory() as folder:
            (fuzz_client if options.client else fuzz_server)(options.command, [cases], Path(folder))
            print(f"{cases}: ", end="")
            bad |= report(Path(folder))
    return bad


if __name__ == "__main__":
    sys.exit(main())
