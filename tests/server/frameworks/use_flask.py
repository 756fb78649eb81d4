"""A program in Flask: python use_flask.py FILE"""

import sys
import time

import flask
from clients import serve

app = flask.Flask(__name__)
app.secret_key = "of this test"


@app.get("/hello/<name>")
def hello(name):
    return f"hello {name} {flask.request.args['q']}"


@app.post("/form")
def form():
    file = flask.request.files.get("f")
    return f"a={flask.request.form['a']} f={f'{file.filename} {len(file.read())}' if file else 'none'}"


@app.post("/json")
def as_json():
    return flask.jsonify(flask.request.json)


@app.get("/stream")
def stream():
    return flask.Response((f"part {number}\n" for number in range(5)), mimetype="text/plain")


@app.get("/count")
def count():
    answer = flask.make_response(str(int(flask.request.cookies.get("n", 0)) + 1))
    answer.set_cookie("n", "1")
    return answer


@app.get("/redirect")
def redirect():
    return flask.redirect(flask.url_for("hello", name="x", q=1))


@app.get("/error")
def error():
    return flask.abort(500)


@app.get("/download")
def download():
    return flask.send_file(sys.argv[1], mimetype="application/octet-stream")


@app.get("/sleep")
def sleep():
    time.sleep(0.05)
    return "slept"


serve(app, sys.argv[1])
