"""A chat over WebSockets: what one says, all others hear. The path is the name.

    python examples/websocket_chat.py [127.0.0.1:8000], then: websockets ws://127.0.0.1:8000/name

Ctrl-C: everybody is told that the server goes away (1001).
"""

import argparse
import sys

import corolib
from corolib.websocket import WebSocket, WebSocketClosed, WebSocketServer

#: Seconds for the good-byes.
PATIENCE = 5.0

guests: dict[WebSocket, str] = {}


def tell_all(text: str, but: WebSocket) -> None:
    """Send a text to all but one; who is gone by now is told of by its own greenlet."""
    for guest in list(guests):
        if guest is not but:
            try:
                guest.send(text)
            except WebSocketClosed:
                pass


def chat(ws: WebSocket) -> None:
    """Runs for each guest, in a greenlet of its own."""
    name = ws.path.strip("/") or "somebody"
    guests[ws] = name
    tell_all(f"* {name} came", ws)
    try:
        for message in ws:
            tell_all(f"{name}: {message!s}", ws)
    finally:
        del guests[ws]
        tell_all(f"* {name} left", ws)


def main() -> None:
    parser = argparse.ArgumentParser(description="A chat over WebSockets.")
    where = "where to listen: HOST:PORT, unix:PATH (default: any free port of 127.0.0.1)"
    parser.add_argument("listen", nargs="?", default="127.0.0.1:0", help=where)
    options = parser.parse_args()
    try:
        # A browser's page of another site could connect, too: name your own in `origins`.
        server = WebSocketServer(options.listen, chat, options={"max_message": 4096})
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
