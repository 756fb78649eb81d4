"""WSGIServer: requests, answers, connections. Deadlines are in test_wsgi_deadlines.py."""

import errno
import io
import json
import logging
import os
import sys
import tracemalloc
from wsgiref.validate import validator

import pytest

from corolib import socket, ssl
from corolib.event import Event
from corolib.greenlet import Greenlet
from corolib.hub import sleep
from corolib.pool import Pool
from corolib.pywsgi import (
    FileWrapper,
    Input,
    Limits,
    LoggingLogAdapter,
    SecureEnviron,
    WSGIHandler,
    WSGISecureEnviron,
    WSGIServer,
    format_date_time,
)
from corolib.server.listeners import UNSENT
from corolib.testing import settle

from .corpus import CASES, SMUGGLED
from .driver import at_line_ends
from .web import GET, HERE, Log, answer_to, ask, connect, echo, hello, read_all, read_answer, serving

pytestmark = pytest.mark.usefixtures("every_way")

CHUNKED_POST = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


def post(body: bytes, *fields: bytes) -> bytes:
    lines = [b"POST / HTTP/1.1", b"Host: a", b"Content-Length: %d" % len(body), *fields]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def answering(status="200 OK", headers=(), body=()):
    """An application that always says the same."""

    def application(environ, start_response):
        start_response(status, list(headers))
        return body

    return application


# -- requests ------------------------------------------------------------------------------------------------


def test_an_answer():
    with serving() as server:
        status, headers, body = answer_to(server)
        assert (status, body) == ("200 OK", b"hello")
        assert headers["content-type"] == "text/plain"
        assert set(headers) == {"content-type", "content-length", "date"}
        assert len(headers["date"]) == 29


def test_an_application_that_follows_the_standard_is_content():
    """wsgiref's validator asserts that server and application keep to PEP 3333."""

    @validator
    def application(environ, start_response):
        body = environ["wsgi.input"].read(100)
        environ["wsgi.errors"].write("noted\n")
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [environ["REQUEST_METHOD"].encode(), body]

    log = Log()
    with serving(application, error_log=log) as server:
        assert answer_to(server, GET)[2] == b"GET"
        assert answer_to(server, post(b"abc"))[2] == b"POSTabc"
    assert log.lines == ["noted\n"] * 2


def test_the_environ():
    seen = {}

    def application(environ, start_response):
        seen.update(environ)
        return hello(environ, start_response)

    with serving(application, environ={"my.own": 1}) as server:
        client = connect(server)
        client.sendall(b"GET /a%20b?c HTTP/1.1\r\nHost: a.example\r\nX-Y: z\r\n\r\n")
        read_answer(client)
        host, port = client.getsockname()
        client.close()
        assert seen["REMOTE_ADDR"] == host
        assert seen["REMOTE_PORT"] == str(port)
        assert seen["SERVER_NAME"] == "127.0.0.1"
        assert seen["SERVER_PORT"] == str(server.server_port)
        assert (seen["SCRIPT_NAME"], seen["PATH_INFO"], seen["QUERY_STRING"]) == ("", "/a b", "c")
        assert seen["HTTP_X_Y"] == "z"
        assert seen["wsgi.version"] == (1, 0)
        assert seen["wsgi.url_scheme"] == "http"
        assert seen["wsgi.input_terminated"] is True
        assert (seen["wsgi.multithread"], seen["wsgi.multiprocess"], seen["wsgi.run_once"]) == (
            True,
            False,
            False,
        )
        assert seen["my.own"] == 1
        assert seen["wsgi.input"].read() == b""


def test_requests_come_one_after_the_other_on_one_connection():
    with serving(echo) as server:
        client = connect(server)
        for number in range(5):
            client.sendall(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number)
            assert read_answer(client)[2] == b"GET /%d " % number
        client.close()
        settle()
        assert server.counters.connections == 1
        assert server.counters.requests == 5


def test_pipelined_requests_are_answered_in_order():
    with serving(echo) as server:
        data = b"".join(b"POST /%d HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx" % n for n in range(100))
        client = connect(server)
        client.sendall(data)
        for number in range(100):
            assert read_answer(client)[2] == b"POST /%d x" % number
        client.close()


@pytest.mark.parametrize(
    ("data", "headers"),
    [
        (b"GET / HTTP/1.0\r\n\r\n", {"connection": "close"}),
        (b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", {"connection": "keep-alive"}),
        (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", {"connection": "close"}),
        (GET, {}),
    ],
)
def test_whether_the_connection_stays_is_said_and_done(data, headers):
    with serving() as server:
        client = connect(server)
        client.sendall(data)
        found = read_answer(client)[1]
        assert {key: found[key] for key in found if key == "connection"} == headers
        if headers.get("connection") == "close":
            assert read_all(client) == b""
        else:
            client.sendall(data)
            read_answer(client)
        client.close()


@pytest.mark.parametrize("form", ["length", "chunks"])
@pytest.mark.parametrize("size", [0, 1, 5000, 300_000])
def test_bodies_arrive_whole_in_pieces_of_any_size(form, size):
    body = os.urandom(size)
    if form == "length":
        data = post(body)
    else:
        pieces = [body[start : start + 7777] for start in range(0, size, 7777)]
        data = (
            CHUNKED_POST + b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
        )
    with serving(echo) as server:
        client = connect(server)
        sender = Greenlet.spawn(client.sendall, data + GET)
        assert read_answer(client)[2] == b"POST / " + body
        assert read_answer(client)[2] == b"GET / "
        sender.get()
        client.close()


def test_every_way_to_read_a_body():
    reads = []

    def application(environ, start_response):
        body = environ["wsgi.input"]
        reads.append([body.read(3), body.readline(), body.readline(2), body.read(0), next(body), body.tell()])
        reads.append(
            [body.readlines(), body.read(), body.read(5), body.readline(), body.readlines(), list(body)]
        )
        return hello(environ, start_response)

    with serving(application) as server:
        answer_to(server, post(b"abcdef\nghij\nkl\nmn"))
    assert reads == [
        [b"abc", b"def\n", b"gh", b"", b"ij\n", 12],
        [[b"kl\n", b"mn"], b"", b"", b"", [], []],
    ]


def test_a_line_may_come_in_any_number_of_pieces():
    pieces = iter([b"a", b"b\nc", b"\n", b"d", b""])
    body = Input(lambda: next(pieces))
    assert body.readlines(2) == [b"ab\n"]
    assert body.read1() == b"c"
    assert body.read1(5) == b"\n"
    assert body.read() == b"d"
    assert body.read() == b""


@pytest.mark.parametrize("how", ["read", "readline"])
@pytest.mark.parametrize("size", [None, 40_000])
def test_a_body_in_tiny_pieces_takes_little_more_memory_than_it_has_bytes(how, size):
    """As many objects as pieces would take 30 times as much, and the client decides how many come."""
    sent = [bytes([i & 63 | 64, i >> 6 & 63 | 64]) for i in range(20_000)]
    pieces = iter([*sent, b""])
    body = Input(lambda: bytes(bytearray(next(pieces))))  # each an object of its own, as from a socket
    tracemalloc.start()
    try:
        got = getattr(body, how)(size)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert got == b"".join(sent)
    assert most < 4 * len(got)


def test_100_continue_is_sent_once_the_application_reads():
    read = Event()

    def application(environ, start_response):
        read.wait()
        body = environ["wsgi.input"].read()
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]

    with serving(application) as server:
        client = connect(server)
        client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        client.settimeout(0.02)
        with pytest.raises(TimeoutError):
            client.recv(1)
        client.settimeout(60)
        read.set()
        assert read_answer(client)[0] == "100 Continue"
        client.sendall(b"ab" + GET)
        assert read_answer(client)[2] == b"ab"
        assert read_answer(client)[2] == b""  # the second body is empty
        client.close()


def test_100_continue_is_not_sent_when_the_body_is_there_already():
    with serving(echo) as server:
        data = b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nab"
        assert answer_to(server, data)[0] == "200 OK"


def test_a_body_that_was_waiting_for_100_continue_is_never_a_request():
    """H02: the application answers without reading; what comes then may be the body, or may not."""
    with serving() as server:
        data = b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n"
        said = ask(server, data % len(SMUGGLED) + SMUGGLED)
        assert said.count(b"HTTP/1.1 ") == 1
        assert b"Connection: close\r\n" in said
        assert server.counters.requests == 1


@pytest.mark.parametrize("form", ["length", "chunks"])
def test_a_small_body_that_nobody_reads_is_dropped_and_a_large_one_ends_the_connection(form):
    """H19."""

    def request(size):
        if form == "length":
            return post(bytes(size))
        return CHUNKED_POST + b"%x\r\n%b\r\n0\r\n\r\n" % (size, bytes(size))

    with serving() as server:
        client = connect(server)
        client.sendall(request(60_000) + GET)
        assert read_answer(client)[0] == "200 OK"
        assert read_answer(client)[0] == "200 OK"
        client.close()
        client = connect(server)
        sender = Greenlet.spawn(client.sendall, request(200_000) + SMUGGLED)
        assert read_answer(client)[0] == "200 OK"
        sender.join()
        assert read_all(client) == b""
        client.close()
        settle()
        assert server.counters.requests == 3


def test_a_part_of_a_body_that_is_left_over_is_not_the_next_request():
    def application(environ, start_response):
        environ["wsgi.input"].read(3)
        return hello(environ, start_response)

    with serving(application) as server:
        client = connect(server)
        client.sendall(post(SMUGGLED) + GET)
        read_answer(client)
        read_answer(client)
        client.close()
        settle()
        assert server.counters.requests == 2


@pytest.mark.parametrize("how", ["length", "chunks"])
def test_a_body_that_ends_too_early_is_an_error_at_once(how):
    """H26."""
    errors = []

    def application(environ, start_response):
        try:
            environ["wsgi.input"].read()
        except OSError as error:
            errors.append(error)
            raise
        return hello(environ, start_response)

    data = post(b"abc").replace(b"Length: 3", b"Length: 9") if how == "length" else CHUNKED_POST + b"5\r\nab"
    with serving(application) as server:
        said = ask(server, data)
        assert said.startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert "before the end of the body" in str(errors[0])


def test_an_application_may_answer_to_a_bad_body_itself_but_nothing_follows():
    def application(environ, start_response):
        try:
            environ["wsgi.input"].read()
        except OSError:
            start_response("422 Unprocessable Entity", [("Content-Length", "0")])
            return []
        raise AssertionError

    with serving(application) as server:
        said = ask(server, CHUNKED_POST + b"x\r\n" + SMUGGLED)
        assert said.startswith(b"HTTP/1.1 422 ")
        assert b"Connection: close\r\n" in said
        assert said.count(b"HTTP/1.1") == 1


def test_what_is_refused_never_reaches_the_application_and_nothing_follows_it():
    """H18."""
    log = Log()
    with serving(error_log=log) as server:
        said = ask(server, b"GET / HTTP/1.1\r\nHost : a\r\n\r\n" + SMUGGLED * 10)
        assert said.startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert said.count(b"HTTP/1.1") == 1
        assert server.counters.requests == 0
        assert server.counters.refused == {400: 1}
        (line,) = log.lines
        assert "127.0.0.1" in line


def test_the_answer_to_a_refused_request_is_not_lost_to_a_reset():
    with serving() as server:
        client = connect(server)
        client.sendall(b"GET / HTTP/1.1\r\nX : y\r\n\r\n")
        client.sendall(bytes(200_000))
        assert read_all(client).startswith(b"HTTP/1.1 400 ")
        client.close()


@pytest.mark.slow
@pytest.mark.outside
@pytest.mark.parametrize("part", range(8))
def test_the_corpus_over_sockets(part):
    """What the reader does alone, with all around it: see test_corpus.py."""
    wrong = []
    with serving(echo, max_per_address=0, max_connections=10_000) as server:
        for case in CASES[part::8]:
            for cut in (None, at_line_ends):
                before = server.counters.requests
                refused = dict(server.counters.refused)
                client = connect(server)
                try:
                    for piece in [case.data] if cut is None else cut(case.data):
                        client.sendall(piece)
                        if cut is not None:
                            sleep(0)
                    client.shutdown(socket.SHUT_WR)
                except OSError:
                    pass
                said = read_all(client)
                client.close()
                settle()
                served = server.counters.requests - before
                want = len(case.served)
                new = [key for key, value in server.counters.refused.items() if refused.get(key) != value]
                # The application runs, and learns from the body that the request is not one.
                in_body = case.status is not None and served == want + 1
                if in_body:
                    fine = b"HTTP/1.1 %d " % case.status in said
                else:
                    fine = served == want and new == ([case.status] if case.status else [])
                if not fine:
                    wrong.append((case.name, cut, served, new, said[:100]))
    assert wrong == []


# -- answers -------------------------------------------------------------------------------------------------


def test_a_body_of_known_size_gets_its_length():
    with serving(answering(body=[b"ab", b"", b"cde"])) as server:
        assert answer_to(server)[1]["content-length"] == "5"
    with serving(answering(body=())) as server:
        assert answer_to(server)[1]["content-length"] == "0"


def test_a_body_of_unknown_size_comes_in_chunks():
    with serving(answering(body=iter([b"ab", b"", b"cde"]))) as server:
        client = connect(server)
        client.sendall(GET)
        _, headers, body = read_answer(client)
        assert headers["transfer-encoding"] == "chunked"
        assert body == b"abcde"
        assert "content-length" not in headers
        client.close()


def test_a_client_of_1_0_gets_the_same_body_up_to_the_end_of_the_connection():
    """H17."""
    with serving(answering(body=iter([b"ab", b"", b"cde"]))) as server:
        said = ask(server, b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        head, _, body = said.partition(b"\r\n\r\n")
        assert body == b"abcde"
        assert b"chunked" not in head
        assert b"Connection: close" in head


def test_pieces_are_sent_as_they_are_made():
    go_on = Event()

    def application(environ, start_response):
        start_response("200 OK", [])
        yield b"first"
        go_on.wait()
        yield b"second"

    with serving(application) as server:
        client = connect(server)
        client.sendall(GET)
        data = b""
        while b"first" not in data:
            data += client.recv(1000)
        go_on.set()
        while not data.endswith(b"0\r\n\r\n"):
            data += client.recv(1000)
        assert b"second" in data
        client.close()


def test_write_sends_at_once():
    def application(environ, start_response):
        write = start_response("200 OK", [])
        write(b"a")
        write(bytearray(b"b"))
        return [b"c"]

    with serving(application) as server:
        assert answer_to(server)[2] == b"abc"


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_answers_without_a_body(status):
    """H17."""
    with serving(answering(status)) as server:
        client = connect(server)
        client.sendall(GET * 2)
        for _ in range(2):
            found, headers, _ = read_answer(client)
            assert found == status
            assert not {"content-length", "transfer-encoding"} & set(headers)
        client.close()


def test_an_answer_that_cannot_have_a_body_and_has_one_is_an_error(caplog):
    with serving(answering("204 No Content", body=[b"x"])) as server:
        assert answer_to(server)[0] == "500 Internal Server Error"
    assert "has no body" in caplog.text


@pytest.mark.parametrize("body", [[b"hello"], iter([b"hel", b"lo"])])
def test_an_answer_to_head_has_a_head_only(body):
    """H17."""
    with serving(answering(body=body)) as server:
        client = connect(server)
        client.sendall(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
        status, _, _ = read_answer(client, head_only=True)
        assert status == "200 OK"
        client.sendall(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        assert read_all(client).startswith(b"HTTP/1.1 200 OK\r\n")
        client.close()


def test_more_than_announced_is_not_sent_and_less_ends_the_connection():
    """H16."""
    log = Log()
    with serving(
        answering(headers=[("Content-Length", "3")], body=[b"ab", b"cdef"]), error_log=log
    ) as server:
        said = ask(server, GET * 2)
        assert said.endswith(b"\r\n\r\nabc")
        assert said.count(b"HTTP/1.1") == 1
    assert "more than its Content-Length" in log.lines[0]
    log = Log()
    with serving(answering(headers=[("Content-Length", "3")], body=iter([b"ab"])), error_log=log) as server:
        said = ask(server, GET * 2)
        assert said.endswith(b"\r\n\r\nab")
        assert said.count(b"HTTP/1.1") == 1
    assert "less than its Content-Length" in log.lines[0]


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        ("200 O\r\nX: y", []),
        ("200 OK", [("X", "a\r\nSet-Cookie: b")]),
        ("200 OK", [("X\r\nSet-Cookie", "b")]),
        ("200 OK", [("X", "a\0")]),
        ("200 OK", [("X", "\u20ac")]),
        ("200 OK", [("X", b"y")]),
        ("OK", []),
        ("200 OK", [("Transfer-Encoding", "chunked")]),
        ("200 OK", [("Content-Length", "1"), ("Content-Length", "2")]),
        ("101 Switching Protocols", []),
    ],
)
def test_headers_that_an_application_cannot_send(status, headers):
    """H15: an error, and nothing of it on the wire."""
    with serving(answering(status, headers, [b"secret"])) as server:
        said = ask(server)
        assert said.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
        assert b"Set-Cookie" not in said
        assert b"secret" not in said


def test_an_error_is_reported_and_answered_and_the_server_goes_on(caplog):
    def application(environ, start_response):
        if environ["PATH_INFO"] == "/bad":
            raise ZeroDivisionError("secret")
        return hello(environ, start_response)

    with serving(application) as server:
        said = ask(server, GET.replace(b"/ ", b"/bad ", 1) + GET)
        assert said.startswith(b"HTTP/1.1 500 ")
        assert b"secret" not in said
        assert said.count(b"HTTP/1.1") == 1
        assert answer_to(server)[0] == "200 OK"
        assert server.counters.errors == 1
    assert "ZeroDivisionError" in caplog.text
    assert "HTTP_HOST" in caplog.text


def test_an_error_in_the_middle_of_an_answer_leaves_it_without_an_end(caplog):
    """H17."""

    def application(environ, start_response):
        start_response("200 OK", [])
        yield b"a"
        raise ZeroDivisionError

    with serving(application) as server:
        said = ask(server, GET * 2)
        assert said.endswith(b"1\r\na\r\n")
        assert said.count(b"HTTP/1.1") == 1


def test_start_response_may_be_called_again_only_with_an_error():
    def application(environ, start_response):
        start_response("200 OK", [("X", "first")])
        try:
            raise ZeroDivisionError
        except ZeroDivisionError:
            start_response("500 Oh", [("X", "second")], sys.exc_info())
        return [b"x"]

    with serving(application) as server:
        status, headers, _ = answer_to(server)
        assert (status, headers["x"]) == ("500 Oh", "second")

    def twice(environ, start_response):
        start_response("200 OK", [])
        start_response("200 OK", [])
        return []

    with serving(twice) as server:
        assert answer_to(server)[0] == "500 Internal Server Error"


def test_an_error_after_the_head_is_raised_again_in_the_application():
    raised = []

    def application(environ, start_response):
        start_response("200 OK", [])(b"x")
        try:
            raise ZeroDivisionError
        except ZeroDivisionError:
            try:
                start_response("500 Oh", [], sys.exc_info())
            except ZeroDivisionError as error:
                raised.append(error)
                raise

    with serving(application) as server:
        ask(server)
    assert len(raised) == 1


@pytest.mark.parametrize("result", [None, b"bytes", "text", [1], ["text"], 5])
def test_what_an_application_cannot_return(result, caplog):
    with serving(answering(body=result)) as server:
        assert answer_to(server)[0] == "500 Internal Server Error"


def test_an_application_that_does_not_call_start_response():
    with serving(lambda environ, start_response: [b"x"]) as server:
        assert answer_to(server)[0] == "500 Internal Server Error"


def test_the_result_is_closed_whatever_happens():
    closed = []

    class Body:
        def __init__(self, parts):
            self.parts = parts

        def __iter__(self):
            for part in self.parts:
                if part is None:
                    raise ZeroDivisionError
                yield part

        def close(self):
            closed.append(self.parts)

    for parts in ([b"a"], [None], [b"a", None]):
        with serving(answering(body=Body(parts))) as server:
            ask(server)
    assert closed == [[b"a"], [None], [b"a", None]]


@pytest.mark.parametrize("size", [0, 10, 100_000, 3_000_000])
def test_a_file_is_sent_as_it_is(size, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(data := os.urandom(size))

    def application(environ, start_response):
        start_response("200 OK", [])
        return environ["wsgi.file_wrapper"](path.open("rb"), 4096)

    with serving(application) as server:
        client = connect(server)
        client.sendall(GET * 2)
        for _ in range(2):
            _, headers, body = read_answer(client)
            assert headers["content-length"] == str(size)
            assert body == data
        client.close()


def test_a_part_of_a_file_and_what_is_no_file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    files = []

    def application(environ, start_response):
        if environ["PATH_INFO"] == "/part":
            file = path.open("rb")
            file.seek(3)
            start_response("206 Partial Content", [("Content-Length", "4")])
        else:
            file = io.BytesIO(b"memory")
            start_response("200 OK", [])
        files.append(file)
        return FileWrapper(file)

    with serving(application) as server:
        assert answer_to(server, GET.replace(b"/ ", b"/part ", 1))[2] == b"3456"
        assert answer_to(server)[2] == b"memory"
        settle()
        assert all(file.closed for file in files)


def test_an_upgrade_hands_the_connection_over_with_what_has_come_already():
    """H20, H32: to the byte."""

    def application(environ, start_response):
        assert environ["wsgi.input"].read(5) == b""  # not yet
        start_response("101 Switching Protocols", [("Upgrade", "x"), ("Connection", "Upgrade")])(b"")
        raw = environ["wsgi.input"]
        got = bytearray()
        while not got.endswith(b"end"):
            got += raw.read(1)
        return [b""] if bytes(got) == b"\x00\xffGET / HTTP/1.1\r\n\r\nend" else 1 / 0

    with serving(application) as server:
        client = connect(server)
        up = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"
        client.sendall(up + b"\x00\xffGET / HT")
        status, headers, _ = read_answer(client)
        assert status == "101 Switching Protocols"
        assert headers["connection"] == "Upgrade"
        assert not {"content-length", "transfer-encoding"} & set(headers)
        client.sendall(b"TP/1.1\r\n\r\nend")
        assert read_all(client) == b""
        client.close()
        settle()
        assert server.counters.requests == 1


def test_an_upgrade_that_is_not_answered_leaves_http_as_it_is():
    """H20."""
    with serving(echo) as server:
        client = connect(server)
        up = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"
        client.sendall(up + CHUNKED_POST + b"2\r\nab\r\n0\r\n\r\n")
        assert read_answer(client)[2] == b"GET / "
        assert read_answer(client)[2] == b"POST / ab"
        client.close()


def test_one_send_for_a_small_answer():
    sizes = []

    class Handler(WSGIHandler):
        def __init__(self, sock, address, server):
            super().__init__(Counting(sock), address, server)

    class Counting:
        def __init__(self, sock):
            self.sock = sock

        def __getattr__(self, name):
            return getattr(self.sock, name)

        def sendall(self, data):
            sizes.append(len(data))
            self.sock.sendall(data)

    with serving(answering(body=[b"x" * 30_000]), handler_class=Handler) as server:
        answer_to(server)
    assert len(sizes) == 1


def test_nothing_is_held_back_and_little_is_kept():
    options = []

    def application(environ, start_response):
        handler = next(iter(server.handlers))
        for option in (socket.TCP_NODELAY, socket.TCP_NOTSENT_LOWAT):
            options.append(handler.socket.getsockopt(socket.IPPROTO_TCP, option))
        return hello(environ, start_response)

    with serving(application) as server:
        answer_to(server)
    assert options == [1, UNSENT]


# -- connections ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("listener", ["[::1]:0", "unix", "abstract"])
def test_other_families_have_an_address_too(listener, tmp_path):
    """H30."""
    seen = {}

    def application(environ, start_response):
        seen.update(environ)
        return hello(environ, start_response)

    if listener == "unix":
        listener = f"unix:{tmp_path}/socket"
    elif listener == "abstract":
        made = socket.socket(socket.AF_UNIX)
        made.bind(b"\0corolib-test-%d" % os.getpid())
        listener = made
    log = Log()
    with serving(application, listener=listener, log=log) as server:
        assert answer_to(server)[0] == "200 OK"
        settle()
    expected = "::1" if isinstance(listener, str) and listener.startswith("[") else ""
    assert seen["REMOTE_ADDR"] == expected
    assert isinstance(seen["REMOTE_PORT"], str)
    assert isinstance(seen["SERVER_NAME"], str)
    assert log.lines[0].startswith(expected or "-")


def test_a_client_that_goes_away_at_any_moment_is_no_news(caplog):
    """H28."""

    def application(environ, start_response):
        environ["wsgi.input"].read()
        start_response("200 OK", [])
        for _ in range(100):
            sleep(0)
            yield b"x" * 100_000

    data = post(bytes(100_000))
    with serving(application) as server:
        for length in (0, 1, 20, len(data) - 100_000, len(data) - 5, len(data)):
            for reset in (False, True):
                client = connect(server)
                client.sendall(data[:length])
                if reset:
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
                client.close()
        settle()
        server.drain(5)
        assert server.handlers == {}
        assert server.counters.open == 0
    assert caplog.text == ""


def test_peers_that_close_their_side_leave_nothing_behind():
    """H25: a connection that is closed on one side only, in whatever state, ends on ours as well."""
    with serving(echo, connect_timeout=None, keepalive_timeout=None, header_timeout=None) as server:
        clients = []
        for data in (b"", b"GET / HT", GET, GET + b"GET", post(b"abc")[:-1], CHUNKED_POST + b"5\r\na"):
            client = connect(server)
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
            clients.append(client)
        for client in clients:
            read_all(client)
        settle()
        assert server.handlers == {}
        assert server.counters.open == 0
        for client in clients:
            client.close()


def test_a_limit_of_connections_lets_others_wait():
    release, running = Event(), []

    def application(environ, start_response):
        running.append(1)
        release.wait()
        return hello(environ, start_response)

    with serving(application, max_connections=3) as server:
        clients = [connect(server) for _ in range(6)]
        for client in clients:
            client.sendall(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        settle()
        assert len(running) == 3
        release.set()
        for client in clients:
            assert read_all(client).endswith(b"hello")
            client.close()


def test_connections_that_idle_make_room():
    with serving(max_connections=3) as server:
        idle = [connect(server) for _ in range(2)]
        for client in idle:
            client.sendall(GET)
            assert "connection" not in read_answer(client)[1]
        assert answer_to(server)[0] == "200 OK"
        assert read_all(idle[0]) == b""  # the oldest had to go
        idle[1].sendall(GET)
        assert read_answer(idle[1])[0] == "200 OK"
        for client in idle:
            client.close()


def test_where_there_is_no_room_connections_are_not_kept():
    with serving(max_connections=1) as server:
        for _ in range(3):
            client = connect(server)
            client.sendall(GET)
            assert read_answer(client)[1]["connection"] == "close"
            assert read_all(client) == b""
            client.close()


def test_a_limit_for_each_address(monkeypatch):
    monkeypatch.setattr("corolib.server.peers.is_private", lambda host: False)
    with serving(max_per_address=2) as server:
        clients = [connect(server) for _ in range(3)]
        settle()
        assert read_all(clients[2]) == b""
        assert server.counters.turned_away == 1
        clients.pop().close()
        clients.pop().close()
        settle()
        assert answer_to(server)[0] == "200 OK"
        clients[0].close()
        settle()
    assert server._peers == {}


@pytest.mark.parametrize(
    ("host", "private"),
    [
        ("127.0.0.1", True),
        ("10.1.2.3", True),
        ("8.8.8.8", False),
        ("::1", True),
        ("fe80::1%eth0", True),
        ("2600::", False),
    ],
)
def test_which_addresses_a_proxy_may_have(host, private):
    from corolib.server.peers import is_private

    assert is_private(host) is private


def test_whose_connections_an_address_counts_to(monkeypatch):
    """Whoever has one address of IPv6 has 2**64 of them."""
    from corolib.server.peers import Peers, whose

    assert whose("8.8.8.8") == whose("::ffff:8.8.8.8") == "8.8.8.8"
    assert whose("2600:1:2:3::1") == whose("2600:1:2:3:ffff::9") != whose("2600:1:2:4::1")
    assert whose("fe80::1%eth0") == whose("fe80::2")
    assert whose("no: address") == "no: address"
    peers = Peers()
    assert [peers.admit((f"2600::{number}", 1, 0, 0), 2) for number in range(3)] == [True, True, False]
    for number in range(2):
        peers.dismiss((f"2600::{number}", 1, 0, 0))
    assert peers == {}


def test_stop_lets_answers_end_and_closes_what_is_idle():
    """H31."""
    begun, go_on = Event(), Event()

    def application(environ, start_response):
        if environ["PATH_INFO"] == "/slow":
            begun.set()
            go_on.wait()
        return hello(environ, start_response)

    with serving(application) as server:
        idle, busy = connect(server), connect(server)
        idle.sendall(GET)
        read_answer(idle)
        busy.sendall(GET.replace(b"/ ", b"/slow ", 1))
        begun.wait()
        address = server.address
        stopping = Greenlet.spawn(server.stop, 5)
        assert read_all(idle) == b""  # at once
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address)
        go_on.set()
        status, headers, _ = read_answer(busy)
        assert (status, headers["connection"]) == ("200 OK", "close")
        assert read_all(busy) == b""
        stopping.get()
        idle.close()
        busy.close()


@pytest.mark.parametrize("end", [lambda server: server.drain(5), lambda server: server.stop(5)])
def test_what_was_asked_before_the_end_is_answered(end):
    """Though the connection seems idle until its greenlet runs."""
    with serving() as server:
        clients = [connect(server) for _ in range(3)]
        for client in clients[1:]:  # the first one asks for nothing but now
            client.sendall(GET)
            read_answer(client)
        settle()
        for client in clients[:2]:
            client.sendall(GET)
        end(server)
        for client in clients[:2]:
            said = read_all(client)
            assert said.startswith(b"HTTP/1.1 200 ")
            assert b"\r\nConnection: close\r\n" in said
        assert read_all(clients[2]) == b""
        for client in clients:
            client.close()


@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize("how", ["raise", "kill", "timeout"])
def test_half_an_answer_that_ends_with_the_connection_is_not_taken_for_a_whole_one(how, secure, tls_contexts):
    """Without a length, and of HTTP/1.0, an orderly end says that this was all."""

    def application(environ, start_response):
        start_response("200 OK", [])
        yield b"half"
        if how == "raise":
            raise ValueError("on purpose")
        sleep(100)

    context, client_context = tls_contexts
    arguments = {"ssl_context": context} if secure else {}
    with serving(application, request_timeout=0.05 if how == "timeout" else None, **arguments) as server:
        client = connect(server)
        if secure:
            client = client_context.wrap_socket(
                client, server_hostname="localhost", suppress_ragged_eofs=False
            )
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        said = b""
        while not said.endswith(b"half"):
            said += client.recv(1)
        if how == "kill":
            server.drain(0)
        with pytest.raises(OSError):
            while client.recv(10):
                pass
            raise AssertionError("an orderly end")
        client.close()


def test_drain_says_how_many_were_cut():
    with serving(lambda environ, start_response: sleep(100)) as server:
        client = connect(server)
        client.sendall(GET)
        settle()
        assert server.drain(0.01) == 1
        assert b" 200 " not in read_all(client)
        client.close()


def test_tls(tls_contexts):
    ours, theirs = tls_contexts
    theirs.set_alpn_protocols(["h2", "http/1.1"])
    seen = {}

    def application(environ, start_response):
        seen.update(environ)
        start_response("200 OK", [])
        return FileWrapper(open(__file__, "rb"))

    with serving(application, ssl_context=ours) as server:
        client = theirs.wrap_socket(connect(server), server_hostname="localhost")
        assert client.selected_alpn_protocol() == "http/1.1"
        client.sendall(GET * 2)
        with open(__file__, "rb") as file:
            text = file.read()
        for _ in range(2):
            assert read_answer(client)[2] == text
        assert seen["wsgi.url_scheme"] == "https"
        client.sendall(b"GET / HTTP/1.1\r\nHost : a\r\n\r\n")
        assert read_all(client).startswith(b"HTTP/1.1 400 ")  # and a proper end of TLS
        client.close()
        plain = connect(server)
        plain.sendall(GET)
        assert b"200 OK" not in read_all(plain)
        plain.close()
        assert server.counters.requests == 2


@pytest.fixture(scope="session")
def tls_contexts():
    trustme = pytest.importorskip("trustme")
    authority = trustme.CA()
    ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(ours)
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(theirs)
    return ours, theirs


# -- logs, counters, hooks -----------------------------------------------------------------------------------

HOSTILE = b'GET /\x22\\x1b HTTP/1.1\r\nHost: a\r\nUser-Agent: \xff\xfe"\\\t\xc2\x9b\r\nReferer: "\r\n\r\n'


@pytest.mark.parametrize("name", ["timed", "common", "combined", "json"])
def test_a_line_of_the_log_is_one_line_of_visible_ascii(name):
    """H27."""
    log = Log()
    with serving(log=log, log_format=name) as server:
        answer_to(server, HOSTILE)
        settle()
    (line,) = log.lines
    assert line.endswith("\n")
    assert line[:-1].isascii()
    assert line[:-1].isprintable()
    assert "127.0.0.1" in line
    if name == "json":
        found = json.loads(line)
        assert (found["method"], found["target"], found["status"], found["length"]) == (
            "GET",
            '/"\\x1b',
            200,
            5,
        )
        assert found["agent"] == '\xff\xfe"\\\t\xc2\x9b'
    else:
        assert '"GET /\\x22\\x5cx1b HTTP/1.1" 200 5' in line
    if name == "combined":
        assert line.endswith('"\\x22" "\\xff\\xfe\\x22\\x5c\\x09\\xc2\\x9b"\n')


def test_a_log_that_cannot_be_written_ends_no_connection(caplog):
    class Full:
        def write(self, text):
            raise OSError(errno.ENOSPC, "the disk is full")

    with serving(log=Full()) as server:
        client = connect(server)
        for count in range(1, 3):
            client.sendall(GET)
            assert read_answer(client)[2] == b"hello"
            settle()
            assert caplog.text.count("OSError: [Errno 28] the disk is full") == count
        client.close()


def test_the_path_of_a_unix_client_is_escaped_in_the_log_of_errors(tmp_path):
    with serving(listener=f"unix:{tmp_path}/server") as server:
        client = socket.socket(socket.AF_UNIX)
        client.bind(f"{tmp_path}/a\nrefused b")
        client.connect(f"{tmp_path}/server")
        client.sendall(b"nonsense\r\n\r\n")
        read_all(client)
        client.close()
        settle()
    (line,) = server.error_log.lines
    assert line.startswith(f"refused {tmp_path}/a\\x0arefused b: ")
    assert line.count("\n") == 1


def test_log_may_be_many_things(caplog, capsys):
    with caplog.at_level(logging.INFO), serving(log=logging.getLogger("access")) as server:
        answer_to(server)
        settle()
    assert "GET / HTTP/1.1" in caplog.messages[0]
    with serving(log="default", log_format=lambda handler: f"<{handler.path}>") as server:
        answer_to(server)
        settle()
    assert capsys.readouterr().err == "</>\n"


def test_an_adapter_is_its_logger_and_a_file():
    logger = logging.getLogger("adapted")
    adapter = LoggingLogAdapter(logger)
    adapter.custom = 1
    assert logger.custom == 1
    assert adapter.name == "adapted"
    del adapter.custom
    assert not hasattr(logger, "custom")


def test_counters_as_text():
    with serving(echo) as server:
        answer_to(server, post(b"abc"))
        ask(server, b"GET\r\n")
        settle()
        text = server.counters.text()
    assert "http_connections_total 2\n" in text
    assert "http_connections_open 0\n" in text
    assert 'http_requests_total{status="2xx"} 1\n' in text
    assert 'http_requests_refused_total{status="400"} 1\n' in text
    assert "http_received_bytes_total 3\n" in text
    assert "http_sent_bytes_total 10\n" in text
    assert 'http_request_seconds_bucket{le="+Inf"} 1.0\n' in text
    assert text.endswith("# EOF\n")


def test_counters_are_read_by_another_implementation():
    parser = pytest.importorskip("prometheus_client.openmetrics.parser")
    with serving(echo) as server:
        ask(server, GET + b"GET\r\n")
        settle()
        families = {
            family.name: family for family in parser.text_string_to_metric_families(server.counters.text())
        }
    assert families["http_requests"].type == "counter"
    assert families["http_request_seconds"].type == "histogram"


def test_the_hooks_of_a_handler_are_called():
    calls = []

    class Handler(WSGIHandler):
        def get_environ(self):
            environ = super().get_environ()
            environ["my.socket"] = self.socket
            environ["RAW_URI"] = self.path
            calls.append("get_environ")
            return environ

        def run_application(self):
            calls.append("run_application")
            super().run_application()

        def start_response(self, status, headers, exc_info=None):
            calls.append("start_response")
            write = super().start_response(status, headers, exc_info)
            self.response_headers.append(("X-Added", "yes"))
            return write

        def finalize_headers(self):
            calls.append("finalize_headers")
            super().finalize_headers()

        def log_request(self):
            calls.append("log_request")
            assert self.time_finish >= self.time_start > 0
            assert list(self.headers.items()) == [("Host", "a.example"), ("X_Y", "z"), ("X", "1"), ("X", "2")]
            assert (self.command, self.path, self.request_version) == ("GET", "/", "HTTP/1.1")
            assert (self.status, self.code, self.response_length) == ("200 OK", 200, 5)

    headers = [("Content-Length", "5")]
    with serving(answering(headers=headers, body=[b"hello"]), handler_class=Handler) as server:
        data = GET.replace(b"\r\n\r\n", b"\r\nX_Y: z\r\nX: 1\r\nX: 2\r\n\r\n")
        assert answer_to(server, data)[1]["x-added"] == "yes"
        settle()
    assert calls == ["get_environ", "run_application", "start_response", "finalize_headers", "log_request"]
    assert headers == [("Content-Length", "5")]


def test_a_websocket_handler_of_others_can_take_over():
    """What gevent-websocket's handler does: answers 101 by itself, then reads and writes the connection."""

    class Handler(WSGIHandler):
        def run_application(self):
            read, write = self.rfile.read, self.socket.sendall
            self.result = []
            self.start_response(
                "101 Switching Protocols", [("Upgrade", "websocket"), ("Connection", "Upgrade")]
            )
            self.provided_content_length = False
            self.response_use_chunked = False
            self.close_connection = True
            self.provided_date = True
            if self.status and not self.headers_sent:
                self.write("")
            write(read(4))

    with serving(handler_class=Handler) as server:
        client = connect(server)
        up = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
        client.sendall(up + b"\x01\x02")
        _, headers, _ = read_answer(client)
        assert headers == {"upgrade": "websocket", "connection": "Upgrade"}
        client.sendall(b"\x03\x04")
        assert read_all(client) == b"\x01\x02\x03\x04"
        client.close()


def test_a_server_in_a_pool_as_gunicorn_makes_it():
    class Server(WSGIServer):
        environ_class = SecureEnviron

        def get_environ(self):
            environ = super().get_environ()
            environ["extra"] = 1
            return environ

    pool = Pool(10)
    seen = []

    def application(environ, start_response):
        seen.append((environ, pool.free_count()))
        return hello(environ, start_response)

    made = socket.socket()
    made.bind(HERE)
    server = Server(made, application=application, spawn=pool, log=Log(), environ={"wsgi.multiprocess": True})
    server.start()
    assert server.max_accept == 1
    assert answer_to(server)[0] == "200 OK"
    server.stop(timeout=1)
    assert pool.free_count() == 10
    ((environ, free),) = seen
    assert (type(environ), free, environ["extra"]) == (SecureEnviron, 9, 1)


def test_environs_do_not_show_what_is_in_them():
    environ = WSGISecureEnviron({"HTTP_COOKIE": "secret", "HTTP_HOST": "a", "HTTP_X": "b"})
    assert "secret" not in repr(environ)
    assert "'HTTP_HOST': 'a'" in str(environ)
    assert type(environ.copy()) is WSGISecureEnviron
    masked = SecureEnviron({"HTTP_COOKIE": "secret"})
    assert "HTTP_COOKIE" in repr(masked)
    assert "secret" not in repr(masked)
    masked.secure_repr = False
    assert "secret" in repr(masked)
    masked.secure_repr = True
    masked.whitelist_keys = ("HTTP_COOKIE",)
    assert "secret" in repr(masked)


def test_peers_are_not_believed_about_who_they_are():
    """H29."""
    seen = {}

    def application(environ, start_response):
        seen.update(environ)
        return hello(environ, start_response)

    fields = (
        *(b"X-Forwarded-For: 1.2.3.4", b"X-Forwarded-Proto: https", b"X-Forwarded-Host: evil", b"Https: on"),
        *(b"Forwarded: for=1.2.3.4", b"Script-Name: /x", b"Remote-User: root", b"Remote-Addr: 1.2.3.4"),
    )
    with serving(application) as server:
        answer_to(server, GET.replace(b"\r\n\r\n", b"\r\n" + b"\r\n".join(fields) + b"\r\n\r\n"))
        assert ask(server, b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n" + GET).startswith(b"HTTP/1.1 400 ")
    assert seen["REMOTE_ADDR"] == "127.0.0.1"
    assert (seen["wsgi.url_scheme"], seen["SCRIPT_NAME"]) == ("http", "")
    assert not {"REMOTE_USER", "HTTPS"} & set(seen)


def test_format_date_time():
    assert format_date_time(0) == b"Thu, 01 Jan 1970 00:00:00 GMT"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"handle": hello}, TypeError),
        ({"log": "nonsense"}, TypeError),
        ({"log_format": "nonsense"}, ValueError),
        ({"header_timeout": "10"}, TypeError),
        ({"header_timeout": 0}, ValueError),
        ({"header_timeout": float("nan")}, ValueError),
        ({"body_rate": None}, TypeError),
        ({"max_connections": -1}, ValueError),
        ({"limits": 5}, TypeError),
        ({"nonsense": 1}, TypeError),
    ],
)
def test_arguments_that_are_wrong(arguments, error):
    with pytest.raises(error):
        WSGIServer(HERE, hello, **arguments)


def test_limits_of_a_server():
    with serving(echo, limits=Limits(target=10, body=3)) as server:
        assert answer_to(server, GET.replace(b"/ ", b"/0123456789 ", 1))[0].startswith("414 ")
        assert answer_to(server, post(b"abcd"))[0].startswith("413 ")
        assert answer_to(server, post(b"abc"))[0] == "200 OK"
        assert answer_to(server, CHUNKED_POST + b"4\r\nabcd\r\n0\r\n\r\n")[0].startswith("413 ")
