"""A WebSocket server that sends every message back, text as text and bytes as bytes.

    python examples/websocket_echo.py [127.0.0.1:8000], then: websockets ws://127.0.0.1:8000/

Ctrl-C: every client is told that the server goes away (1001), and may answer that.
"""

import argparse
import sys

import corolib
from corolib.websocket import WebSocket, WebSocketServer

#: Seconds for the good-byes.
PATIENCE = 5.0


def echo(ws: WebSocket) -> None:
    """Runs for each client, in a greenlet of its own; over when the client is gone or says good-bye."""
    for message in ws:
        ws.send(message)


def main() -> None:
    parser = argparse.ArgumentParser(description="A WebSocket server that sends every message back.")
    where = "where to listen: HOST:PORT, unix:PATH (default: any free port of 127.0.0.1)"
    parser.add_argument("listen", nargs="?", default="127.0.0.1:0", help=where)
    parser.add_argument(
        "--max-message", type=int, default=1 << 20, metavar="BYTES", help="what is longer ends a connection"
    )
    parser.add_argument(
        "--origin", action="append", metavar="URL", help="a site whose pages may connect (default: any)"
    )
    options = parser.parse_args()
    if options.max_message < 1:
        parser.error(f"--max-message must be at least 1, not {options.max_message}")
    try:
        server = WebSocketServer(
            options.listen, echo, origins=options.origin, options={"max_message": options.max_message}
        )
        server.start()
    except ValueError as error:
        parser.error(str(error))
    except OSError as error:
        sys.exit(f"cannot listen: {error.strerror}")
    print(f"listening on {server.server_host}:{server.server_port}, Ctrl-C ends", flush=True)
    try:
        server.serve_forever()
    finally:
        server.drain(PATIENCE)
        print("good-bye")


if __name__ == "__main__":
    corolib.run(main)
