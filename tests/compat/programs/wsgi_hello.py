"""The web server that Locust loads: python wsgi_hello.py PORT"""

import sys

from corolib.pywsgi import WSGIServer


def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return [b"hello"]


WSGIServer(("127.0.0.1", int(sys.argv[1])), app, log=None).serve_forever()
