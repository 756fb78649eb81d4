"""What every framework's program is asked: clients that know nothing of the server.

A program gives its application to serve(), with these paths: /hello/<name>?q=, /form (a field `a`, a file
`f`), /json, /stream, /count (a cookie `n`), /redirect, /error, /download (the file that it is given), /sleep.
"""

import json
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from http.client import HTTPConnection
from typing import Any

from corolib.pywsgi import WSGIServer

CROWD = 50
BOUNDARY = "boundary-of-parts"


def multipart(field: str, data: bytes) -> bytes:
    text = (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="a"\r\n\r\n{field}\r\n'
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="f"; filename="n.bin"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    return text.encode() + data + f"\r\n--{BOUNDARY}--\r\n".encode()


def check(address: tuple[str, int], download: str) -> None:
    connection = HTTPConnection(*address, timeout=30)

    def ask(
        method: str, path: str, body: Any = None, chunked: bool = False, **headers: str
    ) -> tuple[int, Any, bytes]:
        names = {key.replace("_", "-"): value for key, value in headers.items()}
        connection.request(method, path, body, names, encode_chunked=chunked)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()

    name = urllib.parse.quote("wörld&")
    assert ask("GET", f"/hello/{name}?q=%C3%A4+b")[2].decode() == "hello wörld& ä b"
    assert ask("HEAD", "/hello/x?q=1")[2] == b""
    form = urllib.parse.urlencode({"a": "ü"}).encode()
    status, _, body = ask("POST", "/form", form, Content_Type="application/x-www-form-urlencoded")
    assert (status, body.decode()) == (200, "a=ü f=none")
    data = bytes(range(256)) * 4000
    kind = f"multipart/form-data; boundary={BOUNDARY}"
    assert ask("POST", "/form", multipart("z", data), Content_Type=kind)[2] == b"a=z f=n.bin %d" % len(data)
    sent = json.dumps({"list": [1, "ä", None]}).encode()
    assert json.loads(ask("POST", "/json", sent, Content_Type="application/json")[2]) == {
        "list": [1, "ä", None]
    }
    assert ask("GET", "/stream")[2] == b"".join(b"part %d\n" % number for number in range(5))
    _, headers, body = ask("GET", "/count")
    assert body == b"1"
    cookie = headers["Set-Cookie"].split(";")[0]
    assert ask("GET", "/count", Cookie=cookie)[2] == b"2"
    status, headers, _ = ask("GET", "/redirect")
    assert status in (302, 303)
    assert urllib.parse.urlsplit(headers["Location"]).path == "/hello/x"
    assert ask("GET", "/nowhere")[0] == 404
    with open(download, "rb") as file:
        assert ask("GET", "/download")[2] == file.read()
    connection.close()
    url = f"http://{address[0]}:{address[1]}"
    try:
        urllib.request.urlopen(f"{url}/error")
    except urllib.error.HTTPError as error:
        assert error.code == 500
        error.close()
    else:
        raise AssertionError("an error of the application was answered as if it were none")
    found: list[bytes] = []

    def one() -> None:
        with urllib.request.urlopen(f"{url}/sleep") as answer:
            found.append(answer.read())

    threads = [threading.Thread(target=one) for _ in range(CROWD)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [b"slept"] * CROWD


def serve(application: Callable[..., Any], download: str) -> None:
    """Serve the application, ask it everything, and say how many requests that were."""
    server = WSGIServer(("127.0.0.1", 0), application, log=None)
    server.start()
    check(("127.0.0.1", server.server_port or 0), download)
    assert server.drain(5) == 0
    print("requests", server.counters.requests)
