"""Datagrams and messages of the C type Socket: recvfrom, recvmsg, sendto, sendmsg and their kin."""

import _socket
import array
import errno
import os
import socket as stdlib
import sys

import pytest
from ends import LONG, SHORT, close_all, fill, let_others_run, pattern, tcp_pair, unix_pair

from corolib._hub import Socket
from corolib.errors import ConcurrentObjectUseError
from corolib.greenlet import Greenlet

#: How each receive is called, and how it tells what came and where from.
RECEIVES = {
    "recvfrom": lambda sock, size, *flags: sock.recvfrom(size, *flags),
    "recvfrom_into": lambda sock, size, *flags: into_one(sock, size, *flags),
    "recvmsg": lambda sock, size, *flags: sock.recvmsg(size, 0, *flags)[::3],
    "recvmsg_into": lambda sock, size, *flags: into_many(sock, size, *flags),
}
receives = pytest.mark.parametrize("receive", RECEIVES.values(), ids=RECEIVES)


def into_one(sock, size, *flags):
    buffer = bytearray(size + 1)
    n, address = sock.recvfrom_into(buffer, size, *flags)
    return bytes(buffer[:n]), address


def into_many(sock, size, *flags):
    buffers = [bytearray(size - size // 2), bytearray(size // 2)]
    n, _, _, address = sock.recvmsg_into(iter(buffers), 0, *flags)
    return b"".join(buffers)[:n], address


#: How each send is called.
SENDS = {
    "sendto": lambda sock, data, address: sock.sendto(data, address),
    "sendto with flags": lambda sock, data, address: sock.sendto(data, 0, address),
    "sendmsg": lambda sock, data, address: sock.sendmsg(iter([data[:1], data[1:]]), (), 0, address),
}
sends = pytest.mark.parametrize("send", SENDS.values(), ids=SENDS)


def datagram(family=stdlib.AF_INET, address=("127.0.0.1", 0)):
    sock = Socket(family, stdlib.SOCK_DGRAM)
    sock.settimeout(LONG)
    if address is not None:
        sock.bind(address)
    return sock


@pytest.fixture
def udp():
    near, far = datagram(), datagram()
    yield near, far
    close_all(near, far)


@receives
def test_a_receive_parks_until_there_is_something_and_tells_where_from(udp, receive):
    near, far = udp
    reader = Greenlet.spawn(receive, near, 100)
    let_others_run()
    assert not reader.ready()
    far.sendto(b"hello", near.getsockname())
    assert reader.get(timeout=LONG) == (b"hello", far.getsockname())


@receives
def test_an_empty_datagram_is_a_datagram(udp, receive):
    near, far = udp
    for data in (b"", b"x"):
        far.sendto(data, near.getsockname())
    assert receive(near, 10) == (b"", far.getsockname())
    assert receive(near, 10) == (b"x", far.getsockname())


@receives
@pytest.mark.parametrize("size", [1, 10, 65536, 65537, 200_000])
def test_of_each_datagram_as_much_comes_as_was_asked_for(receive, size):
    near, far = unix_pair(stdlib.SOCK_DGRAM)
    near.setsockopt(stdlib.SOL_SOCKET, stdlib.SO_SNDBUF, 1 << 20)
    data = pattern(100_000)
    for part in (data, data[:3], data):
        near.send(part)
        assert receive(far, size)[0] == part[:size]
    close_all(near, far)


@receives
def test_flags(udp, receive):
    near, far = udp
    with pytest.raises(BlockingIOError):
        receive(near, 10, stdlib.MSG_DONTWAIT)
    far.sendto(b"hello", near.getsockname())
    assert receive(near, 10, stdlib.MSG_PEEK)[0] == b"hello"
    assert receive(near, 2, stdlib.MSG_PEEK | stdlib.MSG_DONTWAIT)[0] == b"he"
    assert receive(near, 10)[0] == b"hello"


def test_the_length_of_a_datagram_can_be_asked_for(udp):
    near, far = udp
    far.sendto(b"hello", near.getsockname())
    assert near.recvfrom(2, stdlib.MSG_TRUNC | stdlib.MSG_PEEK)[0] == b"he"
    assert near.recvfrom_into(bytearray(2), 2, stdlib.MSG_TRUNC)[0] == 5


@receives
def test_waitall_on_a_stream(receive):
    client, server = tcp_pair()
    server.settimeout(None)
    reader = Greenlet.spawn(receive, server, 6, stdlib.MSG_WAITALL)
    for part in (b"abc", b"def"):
        let_others_run()
        client.sendall(part)
    data, address = reader.get(timeout=LONG)
    # recvmsg() gives what there is: what came with it belongs to these bytes.
    assert data in (b"abcdef", b"abc")
    assert address is None
    close_all(client, server)


@receives
def test_a_receive_gives_up_in_time(udp, receive):
    near, _ = udp
    near.settimeout(SHORT)
    with pytest.raises(TimeoutError):
        receive(near, 10)
    near.settimeout(0)
    with pytest.raises(BlockingIOError):
        receive(near, 10)


@receives
def test_closing_ends_a_receive_and_a_kill_leaves_the_datagram(udp, receive):
    near, far = udp
    reader = Greenlet.spawn(receive, near, 10)
    let_others_run()
    reader.kill()
    far.sendto(b"x", near.getsockname())
    assert receive(near, 10)[0] == b"x"
    reader = Greenlet.spawn(receive, near, 10)
    let_others_run()
    near.close()
    with pytest.raises(OSError) as caught:
        reader.get(timeout=LONG)
    assert caught.value.errno == errno.EBADF
    with pytest.raises(OSError) as caught:
        receive(near, 10)
    assert caught.value.errno == errno.EBADF


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("recvfrom_into", lambda sock, buffer: sock.recvfrom_into(buffer)),
        ("recvmsg_into", lambda sock, buffer: sock.recvmsg_into([buffer])),
    ],
)
def test_a_buffer_cannot_be_resized_while_a_receive_waits(udp, name, call):
    near, far = udp
    buffer = bytearray(10)
    reader = Greenlet.spawn(call, near, buffer)
    let_others_run()
    with pytest.raises(BufferError):
        buffer.clear()
    far.sendto(b"x", near.getsockname())
    assert reader.get(timeout=LONG)[0] == 1
    buffer.clear()


@pytest.mark.skipif(sys.version_info < (3, 12), reason="__buffer__() is there from 3.12 on")
@pytest.mark.parametrize("name", ["sendmsg", "recvmsg_into"])
def test_a_list_of_buffers_that_changes_while_it_is_read_is_what_it_was(name):
    class Clearing:
        def __buffer__(self, flags):
            buffers.clear()
            return memoryview(first)

    first = bytearray(b"one")
    buffers = [Clearing(), bytearray(b"two"), bytearray(b"three")]
    near, far = unix_pair()
    if name == "sendmsg":
        assert near.sendmsg(buffers) == 11
        assert far.recv(100) == b"onetwothree"
    else:
        far.send(b"ABCDEFGHIJK")
        assert near.recvmsg_into(buffers)[0] == 11
        assert first == b"ABC"
    assert buffers == []
    close_all(near, far)


def test_addresses_are_written_as_the_standard_library_writes_them(tmp_path):
    path = str(tmp_path / "name")
    for family, address in [
        (stdlib.AF_INET, ("127.0.0.1", 0)),
        (stdlib.AF_INET6, ("::1", 0)),
        (stdlib.AF_UNIX, path),
        (stdlib.AF_UNIX, f"{path}2".encode()),
        (stdlib.AF_UNIX, b"\0corolib test " + os.urandom(8)),
        (stdlib.AF_UNIX, ""),
        (stdlib.AF_UNIX, None),
    ]:
        sender = datagram(family, address)
        receiver = datagram(family, "" if family == stdlib.AF_UNIX else address)
        plain = stdlib.socket(fileno=os.dup(receiver.fileno()))
        for receive in (plain.recvfrom, receiver.recvfrom):
            sender.sendto(b"x", receiver.getsockname())
            assert receive(10) == (b"x", sender.getsockname() or None)
        close_all(sender, receiver, plain)


@sends
@pytest.mark.parametrize(
    ("family", "address"),
    [
        (stdlib.AF_INET, ("127.0.0.1", 0)),
        (stdlib.AF_INET, ("", 0)),  # a form that only _socket reads
        (stdlib.AF_INET6, ("::1", 0, 0, 0)),
        (stdlib.AF_UNIX, ""),
    ],
)
def test_a_send_finds_its_address(send, family, address):
    receiver, sender = datagram(family, address), datagram(family, None)
    where = receiver.getsockname()
    if isinstance(address, tuple):
        where = (address[0], *where[1:2], *address[2:])
    assert send(sender, b"hello", where) == 5
    assert receiver.recv(10) == b"hello"
    close_all(sender, receiver)


@sends
def test_a_name_in_an_address_is_looked_up_by_the_class(udp, send):
    near, _ = udp

    class Resolving(Socket):
        def _with_address(self, address):
            assert address == ("name", 1)
            return near.getsockname()

    sender = Resolving(stdlib.AF_INET, stdlib.SOCK_DGRAM)
    send(sender, b"x", ("name", 1))
    assert near.recv(10) == b"x"
    Resolving._with_address = lambda self, address: 1 / 0
    with pytest.raises(ZeroDivisionError):
        send(sender, b"x", ("name", 1))
    sender.close()


@sends
def test_a_send_parks_until_there_is_room(send):
    receiver = datagram(stdlib.AF_UNIX, "")
    sender = datagram(stdlib.AF_UNIX, None)
    where = receiver.getsockname()
    sender.settimeout(0)
    sent = 0
    with pytest.raises(BlockingIOError):
        while send(sender, b"%04d" % sent, where):
            sent += 1
    sender.settimeout(SHORT)
    with pytest.raises(TimeoutError):
        send(sender, b"late", where)
    sender.settimeout(LONG)
    writer = Greenlet.spawn(send, sender, b"last", where)
    let_others_run()
    assert not writer.ready()
    got = [receiver.recv(10) for _ in range(sent)]
    assert writer.get(timeout=LONG) == 4
    assert [*got, receiver.recv(10)] == [*(b"%04d" % i for i in range(sent)), b"last"]
    close_all(sender, receiver)


@sends
def test_errors_of_the_kernel(udp, send):
    near, far = udp
    with pytest.raises(OSError) as caught:
        send(near, bytes(70_000), far.getsockname())
    assert caught.value.errno == errno.EMSGSIZE
    near.close()
    with pytest.raises(OSError) as caught:
        send(near, b"x", far.getsockname())
    assert caught.value.errno == errno.EBADF


@sends
def test_nobody_sends_in_the_middle_of_a_sendall(send):
    client, server = tcp_pair()
    size = 20_000_000
    writer = Greenlet.spawn(client.sendall, bytes(size))
    let_others_run()
    with pytest.raises(ConcurrentObjectUseError):
        send(client, b"x", server.getpeername())
    server.close()
    with pytest.raises(OSError):
        writer.get(timeout=LONG)
    client.close()


def test_sendmsg_of_a_stream_sends_what_there_is_room_for():
    client, server = tcp_pair()
    fill(client)
    data = pattern(1000)
    writer = Greenlet.spawn(client.sendmsg, [data[:500], data[500:]])
    let_others_run()
    assert not writer.ready()
    while not writer.ready():
        server.recv(1 << 20)
        let_others_run()
    assert 0 < writer.get() <= 1000
    close_all(client, server)


def descriptors(*fds):
    return (stdlib.SOL_SOCKET, stdlib.SCM_RIGHTS, array.array("i", fds))


def open_descriptors():
    return sorted(map(int, os.listdir("/proc/self/fd")))


def test_ancillary_data_arrives_whole_or_is_cut_and_said_to_be():
    near, far = unix_pair()
    read, write = os.pipe()
    assert near.sendmsg([b"x"], [descriptors(read), descriptors(write)]) == 1
    data, items, flags, _ = far.recvmsg(10, 1000)
    assert (data, flags & stdlib.MSG_CTRUNC) == (b"x", 0)
    fds = array.array("i", b"".join(item[2] for item in items))
    assert [os.fstat(fd).st_ino for fd in fds] == [os.fstat(read).st_ino, os.fstat(write).st_ino]
    for fd in fds:
        os.close(fd)
    for room in (0, 1, stdlib.CMSG_LEN(0), stdlib.CMSG_LEN(4), stdlib.CMSG_SPACE(4)):
        near.sendmsg([b"x"], [descriptors(read, write)])
        plain = stdlib.socket(fileno=os.dup(far.fileno()))
        found = far.recvmsg(10, room)
        near.sendmsg([b"x"], [descriptors(read, write)])
        expected = plain.recvmsg(10, room)
        plain.close()
        assert found[0::2] == expected[0::2]
        assert [(*item[:2], len(item[2])) for item in found[1]] == [
            (*item[:2], len(item[2])) for item in expected[1]
        ]
        for _, _, content in (*found[1], *expected[1]):
            for fd in array.array("i", content):
                os.close(fd)
    os.close(read)
    os.close(write)
    close_all(near, far)


def test_descriptors_of_an_interrupted_message_are_neither_lost_nor_sent_twice():
    """S14 of docs/socket-cases.md."""
    near, far = unix_pair()
    let_others_run()  # there is a hub
    before = open_descriptors()
    reader = Greenlet.spawn(far.recvmsg, 10, 100)
    let_others_run()
    reader.kill()
    near.sendmsg([b"x"], [descriptors(0)])
    ((_, _, content),) = far.recvmsg(10, 100)[1]
    os.close(array.array("i", content)[0])
    fill(near)
    writer = Greenlet.spawn(near.sendmsg, [b"y"], [descriptors(0)])
    let_others_run()
    assert not writer.ready()
    writer.kill()
    items = []
    far.settimeout(0)
    with pytest.raises(BlockingIOError):
        while True:
            items += far.recvmsg(1 << 20, 100)[1]
    assert items == []
    assert open_descriptors() == before
    close_all(near, far)


def netlink():
    sock = Socket(stdlib.AF_NETLINK, stdlib.SOCK_RAW, stdlib.NETLINK_ROUTE)
    sock.settimeout(LONG)
    sock.bind((0, 0))
    return sock


#: RTM_GETLINK for the first interface.
GET_LINK = (32).to_bytes(4, "little") + b"\x12\0\x01\0" + bytes(8) + bytes(4) + b"\x01\0\0\0" + bytes(8)


@receives
def test_families_that_only_the_standard_library_can_spell(receive):
    sock = netlink()
    reader = Greenlet.spawn(receive, sock, 65536)
    let_others_run()
    assert not reader.ready()
    assert sock.sendto(GET_LINK, (0, 0)) == 32
    data, address = reader.get(timeout=LONG)
    assert (data[4:6], address) == (b"\x10\0", (0, 0))
    assert sock.sendmsg([GET_LINK], (), 0, (0, 0)) == 32
    # What it counts has gone on meanwhile.
    again, address = receive(sock, 65536)
    assert (again[4:6], address) == (data[4:6], (0, 0))
    sock.settimeout(SHORT)
    with pytest.raises(TimeoutError):
        receive(sock, 10)
    sock.settimeout(LONG)
    with pytest.raises(BlockingIOError):
        receive(sock, 10, stdlib.MSG_DONTWAIT)
    sock.close()


WRONG = [
    ("recvfrom", ()),
    ("recvfrom", (-1,)),
    ("recvfrom", ("1",)),
    ("recvfrom", (1, "0")),
    ("recvfrom", (1, 0, 0)),
    ("recvfrom_into", ()),
    ("recvfrom_into", (b"x",)),
    ("recvfrom_into", (bytearray(1), -1)),
    ("recvfrom_into", (bytearray(1), 2)),
    ("recvfrom_into", (bytearray(1), 1, "0")),
    ("recvmsg", ()),
    ("recvmsg", (-1,)),
    ("recvmsg", (1, -1)),
    ("recvmsg", (1, 1 << 40)),
    ("recvmsg", (1, 0, "0")),
    ("recvmsg", (1, 0, 0, 0)),
    ("recvmsg_into", ()),
    ("recvmsg_into", (1,)),
    ("recvmsg_into", ([b"x"],)),
    ("recvmsg_into", ([bytearray(1), 1],)),
    ("recvmsg_into", ([bytearray(1)], -1)),
    ("sendto", (b"x",)),
    ("sendto", ("x", ("127.0.0.1", 1))),
    ("sendto", (b"x", None)),
    ("sendto", (b"x", "0", ("127.0.0.1", 1))),
    ("sendto", (b"x", ("127.0.0.1",))),
    ("sendto", (b"x", ("127.0.0.1", 65536))),
    ("sendto", (b"x", ("127.0.0.1", "1"))),
    ("sendto", (b"x", ["127.0.0.1", 1])),
    ("sendto", (b"x", (1, 1))),
    ("sendmsg", ()),
    ("sendmsg", (1,)),
    ("sendmsg", ([1],)),
    ("sendmsg", ([b"x"], 1)),
    ("sendmsg", ([b"x"], [1])),
    ("sendmsg", ([b"x"], [(1, 1)])),
    ("sendmsg", ([b"x"], [(1, "1", b"")])),
    ("sendmsg", ([b"x"], [(1, 1, b"", 1)])),
    ("sendmsg", ([b"x"], (), "0")),
    ("sendmsg", ([b"x"], (), 0, 1)),
    ("sendmsg", ([b"x"], (), 0, None, 1)),
]


@pytest.mark.parametrize(("method", "arguments"), WRONG)
def test_wrong_arguments_raise_what_the_standard_library_raises(method, arguments):
    ours, plain = datagram(), _socket.socket(stdlib.AF_INET, stdlib.SOCK_DGRAM)
    plain.setblocking(False)
    with pytest.raises((TypeError, ValueError, OverflowError, OSError)) as expected:
        getattr(plain, method)(*arguments)
    with pytest.raises(expected.type):
        getattr(ours, method)(*arguments)
    close_all(ours, plain)


def test_methods_of_the_base_are_all_stood_in_for():
    """What may wait in _socket is ours: nothing blocks the thread by way of the base."""
    for name in RECEIVES.keys() | {"sendto", "sendmsg"}:
        assert getattr(Socket, name) is not getattr(_socket.socket, name)
