"""An echo server on gevent-websocket: python websocket_server.py PORT; slow at /slow."""

import sys

import gevent
from gevent import pywsgi
from geventwebsocket.handler import WebSocketHandler


def app(environ, start_response):
    websocket = environ.get("wsgi.websocket")
    if websocket is None:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"not a websocket"]
    while (message := websocket.receive()) is not None:
        gevent.sleep(0.1 if environ["PATH_INFO"] == "/slow" else 0)
        websocket.send(message)
    return []


pywsgi.WSGIServer(("127.0.0.1", int(sys.argv[1])), app, handler_class=WebSocketHandler).serve_forever()
