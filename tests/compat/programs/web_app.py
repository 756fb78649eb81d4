"""The application that gunicorn serves. Its folder is WEB_FOLDER, where it and the test leave notes."""

import os
from pathlib import Path
from time import sleep

VERSION = "one"
FOLDER = Path(os.environ["WEB_FOLDER"])


def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/hold":
        # As many as call are in here at the same time, or nobody gets out.
        with open(FOLDER / "held", "a") as file:
            file.write(".")
        while not (FOLDER / "release").exists():
            sleep(0.01)
    elif path == "/slow":
        sleep(0.1)
    if path == "/post":
        body = environ["wsgi.input"].read()
    elif path == "/scheme":
        body = f"{environ['wsgi.url_scheme']} {environ['RAW_URI']}".encode()
    elif path == "/slow":
        body = b"slow"
    else:
        body = f"{os.getpid()} {VERSION}".encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
