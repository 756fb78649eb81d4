"""Receiving and sending with the C type Socket, over real sockets of this machine."""

import _socket
import os
import socket as stdlib

import pytest
from ends import LONG, close_all, fill, let_others_run, pattern, read_all, unix_pair
from helpers import Recorder

from corolib._hub import Greenlet, Socket, sleep


def test_recv_parks_until_there_is_data(pair):
    client, server = pair
    rec = Recorder()
    reader = Greenlet.spawn(lambda: rec(server.recv(100)))
    let_others_run()
    rec("sending")
    client.sendall(b"hello")
    rec("sent")
    reader.get(timeout=LONG)
    rec.check(["sending", "sent", b"hello"])


def test_recv_takes_what_is_there_without_a_switch(pair):
    client, server = pair
    rec = Recorder()
    client.sendall(b"hello")
    other = Greenlet.spawn(lambda: rec("other"))
    rec(server.recv(3))
    rec(server.recv(2))
    other.join(LONG)
    rec.check([b"hel", b"lo", "other"])


@pytest.mark.parametrize("size", [1, 100, 65536, 65537, 1 << 20])
def test_recv_gives_at_most_what_was_asked_for(pair, size):
    client, server = pair
    data = pattern(300_000)
    writer = Greenlet.spawn(lambda: (client.sendall(data), client.shutdown(stdlib.SHUT_WR)))
    if size == 1:
        assert [server.recv(1) for _ in range(8)] == [data[i : i + 1] for i in range(8)]
        assert read_all(server) == data[8:]
    else:
        assert 0 < len(first := server.recv(size)) <= size
        assert first + read_all(server, size) == data
    writer.get(timeout=LONG)


def test_end_of_stream_stays_and_never_parks(pair):
    client, server = pair
    rec = Recorder()
    client.sendall(b"last")
    client.close()
    rec(server.recv(100))
    rec(server.recv(100))
    other = Greenlet.spawn(lambda: rec("other"))
    rec(server.recv(100))
    rec(server.recv_into(bytearray(10)))
    other.join(LONG)
    rec.check([b"last", b"", b"", 0, "other"])


def test_recv_of_nothing_asks_nobody():
    sock = Socket()
    sock.close()
    assert sock.recv(0) == b""
    assert sock.recv_into(bytearray()) == 0


def test_recv_into_fills_part_of_a_buffer(pair):
    client, server = pair
    client.sendall(b"abcdef")
    buffer = bytearray(b"........")
    assert server.recv_into(buffer, 2) == 2
    assert server.recv_into(memoryview(buffer)[4:], nbytes=3, flags=0) == 3
    assert buffer == b"ab..cde."
    assert server.recv_into(buffer) == 1


def test_recv_into_holds_its_buffer_while_it_waits(pair):
    client, server = pair
    buffer = bytearray(5)
    reader = Greenlet.spawn(server.recv_into, buffer)
    let_others_run()
    with pytest.raises(BufferError):
        buffer.extend(b"more")
    client.sendall(b"hello")
    assert reader.get(timeout=LONG) == 5
    buffer.extend(b"!")
    assert buffer == b"hello!"


def test_peek_leaves_the_data(pair):
    client, server = pair
    client.sendall(b"hello")
    server.wait_read()
    assert server.recv(100, stdlib.MSG_PEEK) == b"hello"
    assert server.recv(100, stdlib.MSG_PEEK) == b"hello"
    assert server.recv(100) == b"hello"


def test_waitall_waits_for_all(pair):
    client, server = pair
    server.settimeout(None)
    rec = Recorder()
    reader = Greenlet.spawn(lambda: rec(server.recv(6, stdlib.MSG_WAITALL)))
    let_others_run()
    client.sendall(b"abc")
    server.wait_write()
    let_others_run()
    rec("second half")
    client.sendall(b"defg")
    reader.get(timeout=LONG)
    rec.check(["second half", b"abcdef"])
    buffer = bytearray(3)
    client.close()
    assert server.recv_into(buffer, 0, stdlib.MSG_WAITALL) == 1
    assert buffer == b"g\0\0"


def test_waitall_with_a_timeout_takes_what_comes(pair):
    client, server = pair
    reader = Greenlet.spawn(server.recv, 6, stdlib.MSG_WAITALL)
    let_others_run()
    client.sendall(b"abc")
    assert reader.get(timeout=LONG) == b"abc"


def test_dontwait_never_parks(pair):
    client, server = pair
    with pytest.raises(BlockingIOError):
        server.recv(1, stdlib.MSG_PEEK | stdlib.MSG_DONTWAIT)
    with pytest.raises(BlockingIOError):
        while True:
            client.send(bytes(65536), stdlib.MSG_DONTWAIT)


def test_sendall_of_ten_megabytes_against_a_slow_reader(pair):
    client, server = pair
    data = pattern(10_000_000)
    writer = Greenlet.spawn(lambda: (client.sendall(data), client.close()))
    received = bytearray()
    while part := server.recv(50_000):
        received += part
        sleep(0)
    writer.get(timeout=LONG)
    assert bytes(received) == data


def test_send_parks_when_the_kernel_is_full(pair):
    client, server = pair
    rec = Recorder()
    sent = fill(client)
    writer = Greenlet.spawn(lambda: rec(("sent", client.send(b"x"))))
    let_others_run()
    rec("reading")
    left = sent
    while left:
        left -= len(server.recv(min(left, 65536)))
    writer.get(timeout=LONG)
    assert rec.items[0] == "reading"
    assert server.recv(10) == b"x"


def test_reader_and_writer_of_one_socket_at_once(pair):
    client, server = pair
    up, down = pattern(3_000_000), pattern(2_000_000)[::-1]

    def both(sock, outgoing):
        writer = Greenlet.spawn(lambda: (sock.sendall(outgoing), sock.shutdown(stdlib.SHUT_WR)))
        incoming = read_all(sock)
        writer.get(timeout=LONG)
        return incoming

    there = Greenlet.spawn(both, server, down)
    assert both(client, up) == down
    assert there.get(timeout=LONG) == up


def test_sendall_of_nothing(pair):
    client, server = pair
    client.sendall(b"")
    client.sendall(memoryview(b"abc"))
    assert server.recv(10) == b"abc"


def test_broken_pipe(pair):
    client, server = pair
    server.close()
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        while True:
            client.sendall(bytes(100_000))


# Datagrams.


def test_datagrams_are_never_guessed_at():
    """A short datagram says nothing of the next: both are taken without a switch."""
    one, other = Socket(stdlib.AF_INET, stdlib.SOCK_DGRAM), Socket(stdlib.AF_INET, stdlib.SOCK_DGRAM)
    for sock in (one, other):
        sock.settimeout(LONG)
        sock.bind(("127.0.0.1", 0))
    one.connect(other.getsockname())
    other.connect(one.getsockname())
    rec = Recorder()
    one.send(b"first")
    one.send(b"")
    one.sendall(b"")
    one.send(b"last one")
    watcher = Greenlet.spawn(lambda: rec("other"))
    for size in (100, 100, 100, 4):
        rec(other.recv(size))
    watcher.join(LONG)
    rec.check([b"first", b"", b"", b"last", "other"])
    reader = Greenlet.spawn(other.recv, 3, stdlib.MSG_TRUNC)
    let_others_run()
    one.send(b"longer")
    assert reader.get(timeout=LONG) == b"lon"
    close_all(one, other)


def test_an_error_of_the_peer_reaches_the_datagram_socket():
    one, other = Socket(stdlib.AF_INET, stdlib.SOCK_DGRAM), Socket(stdlib.AF_INET, stdlib.SOCK_DGRAM)
    other.bind(("127.0.0.1", 0))
    one.settimeout(LONG)
    one.connect(other.getsockname())
    other.close()
    reader = Greenlet.spawn(one.recv, 10)
    let_others_run()
    one.send(b"anybody?")
    with pytest.raises(ConnectionRefusedError):
        reader.get(timeout=LONG)
    one.close()


def test_wrong_arguments_raise_as_in_the_standard_library():
    ours, theirs = unix_pair()
    native = _socket.socket(fileno=os.dup(theirs.fileno()))
    cases = [
        ("recv", ()),
        ("recv", (-1,)),
        ("recv", ("a",)),
        ("recv", (1.5,)),
        ("recv", (1 << 70,)),
        ("recv", (1, 1 << 40)),
        ("recv", (1, 0, 0)),
        ("recv_into", ()),
        ("recv_into", (b"read only",)),
        ("recv_into", (bytearray(1), -1)),
        ("recv_into", (bytearray(1), 2)),
        ("recv_into", (bytearray(1), "a")),
        ("send", ()),
        ("send", ("text",)),
        ("send", (b"x", "flags")),
        ("sendall", (5,)),
        ("sendall", (b"x", 0, 0)),
        ("settimeout", ()),
        ("setblocking", ()),
    ]
    for name, args in cases:
        errors = []
        for sock in (ours, native):
            with pytest.raises(Exception) as caught:
                getattr(sock, name)(*args)
            errors.append(caught.type)
        assert errors[0] is errors[1], (name, args)
    with pytest.raises(TypeError):
        ours.recv_into(buffer=bytearray(1), size=1)
    with pytest.raises(TypeError):
        ours.recv_into(bytearray(1), buffer=bytearray(1))
    close_all(ours, theirs, native)
