"""A Flask-SocketIO server in gevent mode; writes its port on one line."""

from gevent import monkey

monkey.patch_all()

import sys  # noqa: E402  # after patching

import gevent  # noqa: E402
from flask import Flask, request  # noqa: E402
from flask_socketio import SocketIO, emit, join_room  # noqa: E402

app = Flask(__name__)
server = SocketIO(app, async_mode="gevent", cors_allowed_origins="*")


@app.route("/")
def index():
    return "hello"


@server.on("echo")
def echo(data):
    emit("echoed", data)


@server.on("ask")
def ask(data):
    gevent.sleep(0.01)
    return data * 2


@server.on("slow")
def slow():
    gevent.sleep(0.1)
    return "slow"


@server.on("join")
def join(room):
    join_room(room)
    return room


@server.on("tell")
def tell(room, text):
    emit("told", text, to=room)


@server.on("transport")
def transport():
    return server.server.transport(request.sid)


port = int(sys.argv[1])
server.run(app, host="127.0.0.1", port=port, log_output=False)
