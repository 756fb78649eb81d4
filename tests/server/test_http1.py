"""The reader of requests and the writer of answers, without I/O. What is refused is in test_corpus.py."""

import gc
import weakref

import pytest

from corolib.server._http import (
    CHUNKED,
    CLOSE,
    DATE,
    KEEP,
    ORDINARY,
    OTHER,
    SERVER,
    Reader,
    answer,
    check,
    date,
)
from corolib.server.http1 import Limits, Refused, make_reader, refusal

WHEN = 1_700_000_000
HEAD = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"


def reader(environ=None, **limits) -> Reader:
    return make_reader({} if environ is None else environ, Limits(**limits))


def environ_of(data: bytes, base=None) -> dict:
    environ = reader(base).head(data)
    assert environ is not None
    return environ


def test_the_environ_of_a_request():
    data = (
        b"POST /a%20b/%e4%ff?q=%20 HTTP/1.1\r\nHost: a.example:8080\r\nContent-Type: text/plain\r\n"
        b"Content-Length: 3\r\nUser-Agent: x \t\r\nX-Some-Thing:  y\r\nX-Empty:\r\n\r\n"
    )
    assert environ_of(data, {"wsgi.version": (1, 0)}) == {
        "wsgi.version": (1, 0),
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/a b/\xe4\xff",
        "QUERY_STRING": "q=%20",
        "REQUEST_URI": "/a%20b/%e4%ff?q=%20",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "a.example:8080",
        "CONTENT_TYPE": "text/plain",
        "CONTENT_LENGTH": "3",
        "HTTP_USER_AGENT": "x",
        "HTTP_X_SOME_THING": "y",
        "HTTP_X_EMPTY": "",
    }


def test_each_request_has_an_environ_of_its_own():
    base = {"a": 1}
    requests = reader(base)
    first = requests.head(HEAD * 2)
    first["b"] = 2
    second = requests.head()
    assert "b" not in second
    assert base == {"a": 1}


@pytest.mark.parametrize(
    ("fields", "key", "value"),
    [
        (b"Accept: a\r\naccept: b\r\nACCEPT: c\r\n", "HTTP_ACCEPT", "a,b,c"),
        (b"Cookie: a=b\r\nCookie: c=d\r\n", "HTTP_COOKIE", "a=b; c=d"),
        # One object for all texts of one character: what is there already is not told by identity.
        (b"X: a\r\nX: a\r\n", "HTTP_X", "a,a"),
        (b"X:\r\nX:\r\n", "HTTP_X", ","),
        (b"X-A: \xe4\r\nX-A: b\r\n", "HTTP_X_A", "\xe4,b"),
    ],
)
def test_repeated_fields_are_joined(fields, key, value):
    assert environ_of(b"GET / HTTP/1.1\r\nHost: a\r\n" + fields + b"\r\n")[key] == value


def test_a_field_replaces_what_the_server_says_and_is_not_joined_to_it():
    base = {"HTTP_X": "ours", "HTTP_Y": "ours", "CONTENT_LENGTH": "0"}
    environ = environ_of(b"GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\nX: 2\r\n\r\n", base)
    assert (environ["HTTP_X"], environ["HTTP_Y"], environ["CONTENT_LENGTH"]) == ("1,2", "ours", "0")


@pytest.mark.parametrize("name", [b"Content_Length", b"X_Forwarded_For", b"Host_", b"Proxy", b"PROXY", b"_"])
def test_names_that_look_like_others_in_an_environ_are_dropped(name):
    environ = environ_of(b"GET / HTTP/1.1\r\nHost: a\r\n" + name + b": evil\r\nX-Forwarded-For: b\r\n\r\n")
    assert "evil" not in environ.values()
    assert environ["HTTP_X_FORWARDED_FOR"] == "b"


@pytest.mark.parametrize(
    ("target", "host", "path", "query"),
    [
        (b"http://b.example:81/p/q?r", "b.example:81", "/p/q", "r"),
        (b"HTTPS://b.example", "b.example", "/", ""),
        (b"http://[::1]?r", "[::1]", "/", "r"),
    ],
)
def test_the_authority_of_an_absolute_target_replaces_host(target, host, path, query):
    environ = environ_of(b"GET " + target + b" HTTP/1.1\r\nHost: a.example\r\n\r\n")
    assert (environ["HTTP_HOST"], environ["PATH_INFO"], environ["QUERY_STRING"]) == (host, path, query)
    assert environ["REQUEST_URI"] == target.decode()


@pytest.mark.parametrize(
    ("line", "fields", "stays"),
    [
        (b"GET / HTTP/1.1", b"", True),
        (b"GET / HTTP/1.1", b"Connection: close\r\n", False),
        (b"GET / HTTP/1.1", b"Connection: x,\tCLOSE\r\n", False),
        (b"GET / HTTP/1.1", b"Connection: closed\r\n", True),
        (b"GET / HTTP/1.0", b"", False),
        (b"GET / HTTP/1.0", b"Connection: Keep-Alive\r\n", True),
        (b"GET / HTTP/1.0", b"Connection: keep-alive, close\r\n", False),
    ],
)
def test_whether_the_connection_stays(line, fields, stays):
    requests = reader()
    assert requests.head(line + b"\r\nHost: a\r\n" + fields + b"\r\n")
    assert requests.keep_alive is stays


def test_a_body_comes_as_it_arrives():
    requests = reader()
    assert requests.head(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nab")
    assert (requests.complete, requests.content_length, requests.buffered) == (False, 6, 2)
    assert requests.body() == b"ab"
    assert requests.body() == b""
    assert requests.body(b"c") == b"c"
    assert not requests.complete
    assert requests.body(b"def" + HEAD) == b"def"
    assert requests.complete
    assert requests.body_bytes == 6
    assert requests.body() == b""
    assert requests.head()["REQUEST_METHOD"] == "GET"


def test_what_is_given_whole_is_not_copied():
    requests = reader()
    requests.head(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n")
    data = bytes(50000)
    assert requests.body(data) is data


def test_chunks_are_taken_apart_and_trailers_come_nowhere():
    requests = reader()
    environ = requests.head(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nab")
    assert requests.chunked
    assert requests.body() == b"ab"
    before = dict(environ)
    assert (
        requests.body(b"c\r\n10\r\n0123456789abcdef\r\n0\r\nX: y\r\nCookie: a=b\r\n\r\n" + HEAD)
        == b"c0123456789abcdef"
    )
    assert requests.complete
    assert environ == before
    assert requests.head()["REQUEST_METHOD"] == "GET"


def test_what_follows_an_upgrade_is_handed_over_untouched():
    requests = reader()
    environ = requests.head(
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n\x00\x01GET / HTTP/1.1\r\n"
    )
    assert environ["HTTP_UPGRADE"] == "x"
    assert requests.upgrade
    assert requests.complete
    assert requests.rest() == b"\x00\x01GET / HTTP/1.1\r\n"
    with pytest.raises(ValueError, match="no more requests"):
        requests.head()


def test_an_upgrade_that_is_not_done_leaves_http_as_it_is():
    requests = reader()
    up = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"
    chunks = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n"
    assert requests.head(up + chunks)
    assert requests.head()["REQUEST_METHOD"] == "POST"
    assert not requests.upgrade
    assert requests.body() == b"ab"
    assert requests.complete


def test_expect_is_told_where_there_is_something_to_continue_with():
    def expects(data):
        requests = reader()
        requests.head(data)
        return requests.expects

    assert expects(b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n")
    assert not expects(b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n")
    assert not expects(b"POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n")


def test_nothing_is_read_after_a_refusal():
    requests = reader()
    with pytest.raises(Refused) as caught:
        requests.head(b"GET / HTTP/1.1\r\nX : y\r\n\r\n" + HEAD)
    assert caught.value.args[0] == 400
    with pytest.raises(ValueError, match="no more requests"):
        requests.head(HEAD)
    with pytest.raises(ValueError, match="no request"):
        requests.body()


def test_the_next_head_waits_for_the_end_of_the_body():
    requests = reader()
    requests.head(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n")
    with pytest.raises(ValueError, match="not read to its end"):
        requests.head()


def test_started_tells_an_idle_connection_from_one_in_a_head():
    requests = reader()
    assert not requests.started
    assert requests.head(b"") is None
    assert not requests.started
    assert requests.head(b"G") is None
    assert requests.started
    requests.head(HEAD[1:])
    assert not requests.started
    assert requests.head(b"\r\n") is None
    assert requests.started


@pytest.mark.parametrize(
    ("limits", "data", "status"),
    [
        ({"target": 5}, b"GET /1234 HTTP/1.1\r\nHost: a\r\n\r\n", None),
        ({"target": 5}, b"GET /12345 HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        ({"head": 27}, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", None),
        ({"head": 26}, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 431),
        ({"fields": 1}, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", None),
        ({"fields": 1}, b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n", 431),
        ({"body": 2}, b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n", None),
        ({"body": 2}, b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n", 413),
    ],
)
def test_limits_are_to_the_byte(limits, data, status):
    requests = reader(**limits)
    if status is None:
        assert requests.head(data)
        return
    with pytest.raises(Refused) as caught:
        requests.head(data)
    assert caught.value.args[0] == status


def test_the_limit_of_a_body_counts_what_the_chunks_hold():
    requests = reader(body=4)
    requests.head(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    assert requests.body(b"3\r\nabc\r\n1\r\nd\r\n") == b"abcd"
    with pytest.raises(Refused, match="too large"):
        requests.body(b"1\r\ne\r\n0\r\n\r\n")


def test_a_reader_goes_with_its_last_reference_once_closed():
    class Parser:
        def __init__(self, protocol):
            self.callback = protocol.on_header

        def feed_data(self, data):
            raise OverflowError

    requests = Reader({}, Parser, ValueError, KeyError, max_target=99, max_head=99, max_fields=9, max_body=9)
    with pytest.raises(OverflowError):
        requests.head(HEAD)
    made = []

    class Watched(Parser):
        def __init__(self, protocol):
            super().__init__(protocol)
            made.append(weakref.ref(self))

        def feed_data(self, data):
            raise MemoryError

    gc.disable()
    try:
        requests = Reader(
            {}, Watched, ValueError, KeyError, max_target=99, max_head=99, max_fields=9, max_body=9
        )
        with pytest.raises(MemoryError):
            requests.head(HEAD)
        requests.close()
        assert made[0]() is None
    finally:
        gc.enable()


def test_a_parser_that_sees_another_end_than_we_is_not_believed():
    class Blind:
        def __init__(self, protocol):
            pass

        def feed_data(self, data):
            pass

    requests = Reader({}, Blind, ValueError, KeyError, max_target=99, max_head=99, max_fields=9, max_body=9)
    with pytest.raises(Refused, match="no Host"):
        requests.head(HEAD)

    class Deaf(Blind):
        def __init__(self, protocol):
            self.protocol = protocol

        def feed_data(self, data):
            self.protocol.on_header(b"Host", b"a")
            self.protocol.on_headers_complete()

    requests = Reader({}, Deaf, ValueError, KeyError, max_target=99, max_head=99, max_fields=9, max_body=9)
    with pytest.raises(Refused, match="not certain"):
        requests.head(HEAD)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: reader().head("GET"),
        lambda: reader().head(bytearray(b"GET")),
        lambda: reader().head(b"", b""),
        lambda: reader().body(b"", b""),
        lambda: Reader([], int, ValueError, KeyError, max_target=1, max_head=1, max_fields=1, max_body=1),
        lambda: Reader({}),
        lambda: reader().on_header(b"a", b"b"),
        lambda: reader().on_header("a", "b"),
        lambda: check("200 OK"),
        lambda: check(b"200 OK", []),
        lambda: check("200 OK", ()),
        lambda: check("200 OK", [["a", "b"]]),
        lambda: check("200 OK", [("a",)]),
        lambda: check("200 OK", [("a", b"b")]),
        lambda: check("200 OK", [(b"a", "b")]),
        lambda: answer("200 OK", [], 0, -1, "body"),
        lambda: answer("200 OK", [], None, -1, b""),
        lambda: answer("200 OK", [], 0, "", b""),
        lambda: date(""),
    ],
)
def test_wrong_types(wrong):
    with pytest.raises(TypeError):
        wrong()


@pytest.mark.parametrize("name", ["max_target", "max_head", "max_fields", "max_body"])
def test_limits_below_zero(name):
    limits = {"max_target": 1, "max_head": 1, "max_fields": 1, "max_body": 1}
    with pytest.raises(ValueError, match="limits"):
        Reader({}, int, ValueError, KeyError, **limits | {name: -1})


# -- answers -------------------------------------------------------------------------------------------------


def test_an_answer_is_put_together():
    headers = [("Content-Type", "text/plain"), ("X", "\xe4"), ("Y", "")]
    assert answer("200 OK", headers, 0, -1, b"") == (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nX: \xe4\r\nY: \r\n\r\n"
    )
    assert answer("204", [], CLOSE, -1, b"") == b"HTTP/1.1 204 \r\nConnection: close\r\n\r\n"
    assert answer("200 OK", [], KEEP, 5, b"hello") == (
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\nhello"
    )
    assert answer("200 OK", [], CHUNKED, -1, bytes(26)) == (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1a\r\n" + bytes(26) + b"\r\n"
    )
    assert answer("200 OK", [], CHUNKED, -1, b"") == b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    head, _, rest = answer("200 OK", [], DATE, 1 << 60, b"").partition(b"\r\nDate: ")
    assert head == b"HTTP/1.1 200 OK"
    assert rest[29:] == b"\r\nContent-Length: %d\r\n\r\n" % (1 << 60)


def test_what_check_finds():
    assert check("200 OK", []) == (200, ORDINARY, -1)
    assert check("404 Not Found", [("content-LENGTH", "12"), ("DATE", "x")]) == (404, ORDINARY | DATE, 12)
    assert check("200 OK", [("Server", "x"), ("Connection", "Close")]) == (200, ORDINARY | SERVER | CLOSE, -1)
    assert check("101 x", [("Connection", "Upgrade")]) == (101, OTHER, -1)
    assert check("200 OK", [("Connection", "keep-alive, x")]) == (200, ORDINARY | KEEP, -1)


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        *(
            (status, [])
            for status in ("", "OK", "20", "2000 OK", "200OK", "\u0662\u0660\u0660 OK", "-20 OK", " 200 OK")
        ),
        *(
            (status, [])
            for status in ("200 O\nK", "200 O\rK", "200 O\0K", "200 O\x7fK", "200\tOK", "200 \u2028")
        ),
        *((status, []) for status in ("100 Continue", "102 x", "103 Early Hints", "199 x", "099 x")),
        *(
            ("200 OK", [(name, "x")])
            for name in ("", " ", "a b", "a:", "a\n", "a\r", "\r\na", "a\0", "\xe4", "\u2028")
        ),
        *(
            ("200 OK", [("X", value)])
            for value in ("a\nb", "a\rb", "a\r\nSet-Cookie: x", "a\0b", "\x7f", "\u010a")
        ),
        ("200 OK", [("Content-Length", "1"), ("Content-Length", "1")]),
        *(("200 OK", [("Content-Length", value)]) for value in ("", "-1", "+1", "1 ", "a", "1,1", "9" * 30)),
        ("200 OK", [("Transfer-Encoding", "chunked")]),
    ],
)
def test_what_would_not_be_one_head_is_an_error(status, headers):
    with pytest.raises(ValueError, match=r".{20}"):
        check(status, headers)


def test_the_writer_does_not_rely_on_the_check():
    with pytest.raises(ValueError, match="line ends"):
        answer("200 OK", [("X", "a\r\nb")], 0, -1, b"")
    with pytest.raises(ValueError, match="status"):
        answer("200 O\nK", [], 0, -1, b"")


def test_dates():
    assert date(0) == "Thu, 01 Jan 1970 00:00:00 GMT"
    assert date(WHEN) == "Tue, 14 Nov 2023 22:13:20 GMT"
    assert date(WHEN + 0.9) == date(WHEN)
    assert len(date()) == 29
    for wrong in (1e15, -1e15, float("nan"), 1e300):
        with pytest.raises(ValueError, match="years"):
            date(wrong)


def test_the_answer_to_what_is_refused():
    text = refusal(431)
    assert text.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")
    assert b"\r\nConnection: close\r\n" in text
    assert text.endswith(b"\r\n\r\n431 Request Header Fields Too Large\n")
    assert refusal(400, head_only=True).endswith(b"\r\n\r\n")


def test_every_byte_of_a_value_is_looked_at_wherever_it_stands():
    """They are looked at eight at a time."""
    right = {9, *range(0x20, 0x7F), *range(0x80, 0x100)}
    for place in (0, 3, 7, 8, 12, 15, 16, 17):
        for byte in range(256):
            value = b"a" * place + bytes([byte]) + b"b" * (17 - place)
            data = b"GET / HTTP/1.1\r\nHost: h\r\nX: " + value + b"\r\n\r\n"
            if byte in right:
                assert environ_of(data)["HTTP_X"] == value.strip(b" \t").decode("latin-1")
            else:
                with pytest.raises(Refused):
                    reader().head(data)


@pytest.mark.parametrize(
    "name", [b"Content-Length", b"Proxy", b"X-Forwarded-Proto", b"Access-Control-Request-Headers"]
)
def test_a_name_is_known_in_any_case_and_by_nothing_else(name):
    """A bit of each byte is what tells small letters from capital ones."""

    def key_of(name):
        made = environ_of(b"GET / HTTP/1.1\r\nHost: h\r\n" + name + b": 0\r\n\r\n")
        return set(made) - set(environ_of(HEAD))

    known = key_of(name)
    assert len(known) == (name != b"Proxy")
    for place, byte in enumerate(name):
        other = name[:place] + bytes([byte ^ 0x20]) + name[place + 1 :]
        if chr(byte).isalpha():
            assert key_of(other) == known
        else:
            with pytest.raises(Refused):  # a dash with its bit turned is a CR
                key_of(other)
        changed = name[:place] + b"^" + name[place + 1 :]
        assert key_of(changed) == {"HTTP_" + changed.decode().upper().replace("-", "_")}


def test_an_environ_with_many_fields_and_one_with_none():
    for base in ({}, {"a": 1}, {str(number): number for number in range(100)}):
        for count in (0, 1, 15, 90):
            fields = b"".join(b"X-%d: %d\r\n" % (number, number) for number in range(count))
            made = environ_of(b"GET / HTTP/1.1\r\nHost: h\r\n" + fields + b"\r\n", base)
            keys = {*base, "REQUEST_METHOD", "PATH_INFO", "QUERY_STRING", "REQUEST_URI", "SERVER_PROTOCOL"}
            assert set(made) == {*keys, "HTTP_HOST", *(f"HTTP_X_{number}" for number in range(count))}
            assert list(made)[: len(base)] == list(base)
