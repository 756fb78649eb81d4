"""A chat over WebSockets: what one says, all others hear.

Usage: python examples/websocket_chat.py [port], then: websockets ws://127.0.0.1:<port>/name
"""

import sys

import corolib
from corolib.websocket import WebSocket, WebSocketClosed, WebSocketServer

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


def main(arguments: list[str]) -> None:
    port = int(arguments[0]) if arguments else 0
    # A browser's page of another site could connect, too: name your own in `origins`.
    with WebSocketServer(("127.0.0.1", port), chat, options={"max_message": 4096}) as server:
        server.start()
        print(f"listening on 127.0.0.1:{server.server_port}, Ctrl-C ends", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            server.drain(5)
            print("good-bye")


if __name__ == "__main__":
    # Ctrl-C is then main's, in whichever greenlet it arrives.
    corolib.run(main, sys.argv[1:])
