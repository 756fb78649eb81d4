"""Deadlines of the web server, on a clock that jumps: slow clients cost nobody time, not even the tests."""

import errno

import pytest

from corolib import socket
from corolib._native import original
from corolib.greenlet import Greenlet
from corolib.hub import get_hub, sleep
from corolib.testing import VirtualClock, settle

from .web import GET, answer_to, connect, echo, hello, read_all, read_answer, serving

POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n"

pause = original("time", "sleep")

pytestmark = pytest.mark.usefixtures("every_way")


@pytest.fixture(autouse=True)
def clock():
    with VirtualClock() as clock:
        yield clock


def trickle(client, data, seconds):
    """Send byte by byte, one in so many seconds, until the peer has had enough: how long that took."""
    began = get_hub().now()
    client.settimeout(1000)
    closed = Greenlet.spawn(read_all, client)
    for byte in data:
        if closed.ready():
            break
        try:
            client.send(bytes([byte]))
        except OSError:
            break
        closed.join(seconds)
    else:
        closed.join()
    taken = get_hub().now() - began
    return taken, closed.get()


def close(*clients):
    for client in clients:
        client.close()


def test_a_connection_that_says_nothing(clock):
    """H21: idle after connect."""
    with serving(connect_timeout=7) as server:
        client = connect(server)
        taken, said = trickle(client, b"", 1)
        assert (round(taken), said) == (7, b"")
        assert server.counters.timeouts == {"connect": 1}
        close(client)


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: a\r\n" * 9,
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 50,
        b"\r\nGET / HTTP/1.1\r\n",
    ],
)
def test_a_head_that_comes_byte_by_byte(data):
    """H21: the deadline is for the whole head, not for each byte of it."""
    with serving(header_timeout=9) as server:
        client = connect(server)
        taken, said = trickle(client, data[:100], 2)
        assert 8 <= taken <= 13
        assert said.startswith(b"HTTP/1.1 408 ")
        assert server.counters.timeouts == {"header": 1}
        close(client)


def test_a_connection_between_two_requests():
    """H21: idle keep-alive."""
    with serving(keepalive_timeout=5) as server:
        client = connect(server)
        client.sendall(GET)
        read_answer(client)
        taken, said = trickle(client, b"", 1)
        assert (round(taken), said) == (5, b"")
        assert server.counters.timeouts == {"keepalive": 1}
        close(client)


def test_the_head_after_the_first_has_the_same_deadline():
    with serving(header_timeout=9, keepalive_timeout=100) as server:
        client = connect(server)
        client.sendall(GET + b"GET / HT")
        assert read_answer(client)[0] == "200 OK"
        taken, said = trickle(client, b"", 1)
        assert 8 <= taken <= 12
        assert said.startswith(b"HTTP/1.1 408 ")
        close(client)


def test_a_body_that_does_not_come():
    """H21."""
    with serving(echo, body_timeout=15) as server:
        client = connect(server)
        client.sendall(POST)
        taken, said = trickle(client, b"", 1)
        assert 14 <= taken <= 18
        assert said.startswith(b"HTTP/1.1 408 ")
        assert server.counters.timeouts == {"body": 1}
        close(client)


def test_a_body_slower_than_the_least_rate():
    """H21: each byte buys a little time, too little."""
    with serving(echo, body_timeout=15, body_rate=10) as server:
        client = connect(server)
        client.sendall(POST)
        taken, said = trickle(client, bytes(200), 1)
        assert 15 <= taken <= 20
        assert said.startswith(b"HTTP/1.1 408 ")
        close(client)


def test_a_body_that_is_slow_but_not_too_slow():
    with serving(echo, body_timeout=15, body_rate=10) as server:
        client = connect(server)
        client.settimeout(1000)
        client.sendall(POST.replace(b"1000000", b"1000"))
        for _ in range(100):
            client.sendall(bytes(10))
            sleep(1)
        assert read_answer(client)[0] == "200 OK"
        assert server.counters.timeouts == {}
        close(client)


def test_an_application_that_takes_its_time_is_not_the_clients_fault():
    def application(environ, start_response):
        for _ in range(10):
            sleep(60)
            environ["wsgi.input"].read(1)
        return hello(environ, start_response)

    with serving(application, body_timeout=5) as server:
        client = connect(server)
        client.settimeout(1000)
        client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n0123456789")
        assert read_answer(client)[0] == "200 OK"
        close(client)


def slow_reader(server):
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(server.address)
    client.sendall(GET)
    return client


def read_what_is_there(client, most):
    try:
        return client.recv(most)
    except BlockingIOError:
        return b""


def was_reset(client):
    """Whether the kernel has dropped what the client did not take, instead of going on to send it."""
    return client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNRESET


def large(environ, start_response):
    start_response("200 OK", [])
    if environ["PATH_INFO"] == "/small":
        return [b"small"]
    return [b"x" * 1_000_000] * 20


def test_a_client_that_does_not_read():
    """H22: the write has a deadline, and others notice nothing."""
    with serving(large, write_timeout=12) as server:
        client = slow_reader(server)
        settle()
        assert answer_to(server, GET.replace(b"/ ", b"/small ", 1))[2] == b"small"
        sleep(11)
        assert len(server.handlers) == 1
        sleep(2)
        assert server.handlers == {}
        assert server.counters.timeouts == {"write": 1}
        assert was_reset(client)
        close(client)


def test_the_kernel_holds_little_for_a_client_that_does_not_read():
    """H22: by itself it would take megabytes of each answer, and all memory for TCP of some thousand."""
    taken = []

    def application(environ, start_response):
        start_response("200 OK", [])
        for _ in range(200):
            yield b"x" * 65536
            taken.append(1)

    with serving(application, write_timeout=12) as server:
        client = slow_reader(server)
        sleep(13)
        assert server.counters.timeouts == {"write": 1}
        assert len(taken) <= 8
        close(client)


def test_a_client_that_takes_a_little_in_time_is_not_cut():
    """And a little is not a share of what the kernel would hold."""
    count, step = 100 * 65536, 256 * 1024

    def application(environ, start_response):
        start_response("200 OK", [("Content-Length", str(count))])
        return [b"x" * 65536] * (count // 65536)

    with serving(application, write_timeout=25, keepalive_timeout=None) as server:
        client = connect(server)
        client.sendall(GET)
        client.settimeout(0)
        got = 0
        while got < count:
            sleep(10)
            left = step
            while left > 0 and (part := read_what_is_there(client, left)):
                left -= len(part)
                got += len(part)
            settle()
            pause(0.05)  # acknowledgements are sent by a clock that does not jump
            settle()
        assert server.counters.timeouts == {}
        close(client)


def test_the_same_for_many_answers_that_are_small():
    """Each goes to the kernel at once, until it takes no more."""

    def application(environ, start_response):
        start_response("200 OK", [])
        return [b"x" * 60_000]

    with serving(application, write_timeout=12, keepalive_timeout=None) as server:
        client = slow_reader(server)
        client.sendall(GET * 400)
        sleep(11)
        assert len(server.handlers) == 1
        sleep(60)  # the kernels take a little more now and then, for a while
        assert server.handlers == {}
        assert server.counters.timeouts == {"write": 1}
        assert was_reset(client)
        close(client)


def test_the_same_for_a_file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(bytes(20_000_000))

    def application(environ, start_response):
        start_response("200 OK", [])
        return environ["wsgi.file_wrapper"](path.open("rb"))

    with serving(application, write_timeout=12) as server:
        client = slow_reader(server)
        sleep(13)
        assert server.handlers == {}
        assert server.counters.timeouts == {"write": 1}
        assert was_reset(client)
        close(client)


def test_a_limit_for_the_whole_request():
    def application(environ, start_response):
        if environ["PATH_INFO"] == "/begun":
            start_response("200 OK", [])(b"begun")
        sleep(100)

    with serving(application, request_timeout=30) as server:
        for target, answer in ((b"/", b"HTTP/1.1 503 "), (b"/begun", b"HTTP/1.1 200 ")):
            client = connect(server)
            client.settimeout(1000)
            client.sendall(GET.replace(b"/ ", target + b" ", 1))
            began = get_hub().now()
            said = read_all(client)
            assert round(get_hub().now() - began) == 30
            assert said.startswith(answer)
            assert not said.endswith(b"0\r\n\r\n")
            close(client)
        assert server.counters.timeouts == {"request": 2}


def test_without_deadlines_a_client_may_take_as_long_as_it_likes():
    none = dict.fromkeys(
        ("connect_timeout", "header_timeout", "keepalive_timeout", "body_timeout", "write_timeout")
    )
    with serving(echo, **none) as server:
        client = connect(server)
        client.settimeout(10_000)
        for _ in range(2):
            sleep(1000)
            client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\n")
            sleep(1000)
            client.sendall(b"Content-Length: 1\r\n\r\n")
            sleep(1000)
            client.sendall(b"x")
            assert read_answer(client)[2] == b"POST / x"
        close(client)


def test_a_refused_client_that_sends_on_is_cut_in_the_end():
    with serving() as server:
        client = connect(server)
        client.sendall(b"GET\r\n")
        taken, said = trickle(client, b"", 1)
        assert said.startswith(b"HTTP/1.1 400 ")
        assert taken < 1
        sleep(3)
        assert server.handlers == {}
        close(client)


def test_many_slow_clients_and_one_that_is_not():
    """H23 in small; benchmarks/ has the large one."""
    with serving(max_per_address=0) as server:
        slow = [connect(server) for _ in range(100)]
        for number, client in enumerate(slow):
            client.sendall(GET[: number % len(GET)])
        assert answer_to(server)[2] == b"hello"
        sleep(60)
        assert answer_to(server)[2] == b"hello"
        settle()
        assert server.handlers == {}
        assert server.counters.open == 0
        close(*slow)
