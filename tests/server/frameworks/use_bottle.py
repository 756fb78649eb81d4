"""A program in Bottle: python use_bottle.py FILE"""

import sys
import time
from pathlib import Path

import bottle
from clients import serve

app = bottle.Bottle()
path = Path(sys.argv[1])


@app.get("/hello/<name>")
def hello(name):
    return f"hello {name} {bottle.request.query.getunicode('q')}"


@app.post("/form")
def form():
    file = bottle.request.files.get("f")
    what = f"{file.raw_filename} {len(file.file.read())}" if file else "none"
    return f"a={bottle.request.forms.getunicode('a')} f={what}"


@app.post("/json")
def as_json():
    return bottle.request.json


@app.get("/stream")
def stream():
    for number in range(5):
        yield f"part {number}\n"


@app.get("/count")
def count():
    bottle.response.set_cookie("n", "1")
    return str(int(bottle.request.get_cookie("n", 0)) + 1)


@app.get("/redirect")
def redirect():
    bottle.redirect("/hello/x?q=1")


@app.get("/error")
def error():
    bottle.abort(500)


@app.get("/download")
def download():
    return bottle.static_file(path.name, root=path.parent, mimetype="application/octet-stream")


@app.get("/sleep")
def sleep():
    time.sleep(0.05)
    return "slept"


serve(app, sys.argv[1])
