"""Making Sockets: by hand, from a descriptor, by accept and connect; and their end."""

import _socket
import errno
import os
import socket as stdlib

import pytest
from ends import (
    LONG,
    SHORT,
    SlottedSocket,
    close_all,
    full_unix_listener,
    let_others_run,
    listen,
    unix_pair,
)
from helpers import Recorder, run_isolated

from corolib._hub import Greenlet, Socket, interrupt


def test_making_a_socket():
    sock = Socket()
    assert (sock.family, sock.type, sock.proto) == (stdlib.AF_INET, stdlib.SOCK_STREAM, 0)
    assert isinstance(sock, _socket.socket)
    assert not os.get_inheritable(sock.fileno())
    sock.close()
    sock = Socket(stdlib.AF_UNIX, stdlib.SOCK_DGRAM | stdlib.SOCK_NONBLOCK | stdlib.SOCK_CLOEXEC)
    assert sock.type == stdlib.SOCK_DGRAM
    assert sock.gettimeout() == 0.0
    sock.close()
    with pytest.raises(OSError):
        Socket(-5)
    with pytest.raises(TypeError):
        Socket("inet")
    bare = Socket.__new__(Socket)
    assert bare.fileno() == -1
    assert bare.gettimeout() is None


def test_a_socket_of_a_descriptor_from_elsewhere():
    one, other = _socket.socketpair(stdlib.AF_UNIX, stdlib.SOCK_DGRAM)
    assert os.get_blocking(one.fileno())
    sock = Socket(fileno=one.detach())
    assert (sock.family, sock.type) == (stdlib.AF_UNIX, stdlib.SOCK_DGRAM)
    assert sock.gettimeout() is None
    assert not os.get_blocking(sock.fileno())
    sock.close()
    other.close()
    with pytest.raises(ValueError):
        Socket(fileno=-1)
    with pytest.raises(TypeError):
        Socket(fileno="0")
    number = os.open(os.devnull, os.O_RDONLY)
    with pytest.raises(OSError) as caught:
        Socket(fileno=number)
    assert caught.value.errno == errno.ENOTSOCK
    os.close(number)


# Accept and connect.


def test_accept_parks_and_gives_the_peer(listener):
    rec = Recorder()
    client = Socket()
    client.settimeout(LONG)

    def accept():
        fd, address = listener.accept4()
        rec(address == client.getsockname())
        with Socket_closing(fd) as sock:
            assert not os.get_blocking(fd)
            assert not os.get_inheritable(fd)
            sock.sendall(b"welcome")

    acceptor = Greenlet.spawn(accept)
    let_others_run()
    rec("connect")
    client.connect(listener.getsockname())
    acceptor.get(timeout=LONG)
    assert client.recv(10) == b"welcome"
    client.close()
    rec.check(["connect", True])


class Socket_closing:
    """A descriptor as a Socket, closed at the end of the block."""

    def __init__(self, fd):
        self.sock = Socket(fileno=fd)

    def __enter__(self):
        return self.sock

    def __exit__(self, *exc):
        self.sock.close()


def test_accept_as_makes_the_object(listener):
    client = Socket()
    client.connect(listener.getsockname())
    listener.settimeout(3)
    sock, address = listener.accept_as(SlottedSocket)
    assert type(sock) is SlottedSocket
    assert address == client.getsockname() == sock.getpeername()
    assert (sock.family, sock.type, sock.proto) == (listener.family, listener.type, listener.proto)
    assert sock.gettimeout() is None
    assert (sock._io_refs, sock._closed) == (0, False)
    with pytest.raises(TypeError, match="subclass of Socket"):
        listener.accept_as(int)
    client.close()
    sock.close()


def test_accept_names_the_peer_as_the_standard_library_does():
    for family, address in (
        (stdlib.AF_INET, ("127.0.0.1", 0)),
        (stdlib.AF_INET6, ("::1", 0)),
        (stdlib.AF_UNIX, ""),
    ):
        ours = listen(family, address)
        theirs = _socket.socket(family, stdlib.SOCK_STREAM)
        theirs.bind(address)
        theirs.listen()
        seen = []
        for listener in (ours, theirs):
            client = Socket(family)
            client.bind(address)  # an abstract name where the family is AF_UNIX
            client.connect(listener.getsockname())
            fd, peer = listener._accept()
            assert peer == client.getsockname()
            seen.append((type(peer), [type(part) for part in peer]))
            os.close(fd)
            client.close()
        assert seen[0] == seen[1]
        ours.close()
        theirs.close()


def test_unix_peers(tmp_path):
    path = str(tmp_path / "listener")
    sock = listen(stdlib.AF_UNIX, path)
    for name in (None, str(tmp_path / "client"), b"\0corolib-test-%d" % os.getpid()):
        client = Socket(stdlib.AF_UNIX)
        if name is not None:
            client.bind(name)
        client.connect(path)
        fd, peer = sock.accept4()
        assert peer == ("" if name is None else name)
        os.close(fd)
        client.close()
    sock.close()


def test_accept_of_a_family_that_only_the_base_knows():
    sock = Socket(stdlib.AF_UNIX, stdlib.SOCK_SEQPACKET)
    assert sock.family == stdlib.AF_UNIX
    sock.close()
    if not hasattr(stdlib, "AF_VSOCK"):
        return
    try:
        sock = Socket(stdlib.AF_VSOCK)
        sock.bind((stdlib.VMADDR_CID_ANY, stdlib.VMADDR_PORT_ANY))
        sock.listen()
    except OSError:
        return  # a machine without it: the other families are the test
    sock.settimeout(SHORT)
    with pytest.raises(TimeoutError):
        sock.accept4()
    sock.close()


def test_accept_without_connection_in_the_queue(listener):
    listener.setblocking(False)
    with pytest.raises(BlockingIOError):
        listener.accept4()
    with pytest.raises(BlockingIOError):
        listener._accept()


def test_accept_on_a_socket_that_does_not_listen():
    sock = Socket()
    with pytest.raises(OSError) as caught:
        sock.accept4()
    assert caught.value.errno == errno.EINVAL
    sock.close()


def test_connect_refused_and_then_again():
    sock = listen()
    address = sock.getsockname()
    sock.close()
    client = Socket()
    client.settimeout(LONG)
    assert client.connect_ex(address) == errno.ECONNREFUSED
    with pytest.raises(ConnectionRefusedError):
        client.connect(address)
    sock = listen(address=address)
    client.connect(address)
    client.close()
    sock.close()


def test_connect_to_what_is_connected(pair, listener):
    _, server = pair
    with pytest.raises(OSError) as caught:
        server.connect(listener.getsockname())
    assert caught.value.errno == errno.EISCONN
    assert server.connect_ex(listener.getsockname()) == errno.EISCONN
    with pytest.raises(TypeError):
        server.connect(5)
    with pytest.raises(TypeError):
        server.connect_ex(5)


def test_connect_to_a_full_unix_listener_waits_for_room():
    sock, waiting = full_unix_listener()
    rec = Recorder()
    late = Socket(stdlib.AF_UNIX)
    late.settimeout(LONG)
    connecting = Greenlet.spawn(lambda: rec(("connect", late.connect(sock.getsockname()))))
    let_others_run()
    rec("accept")
    os.close(sock.accept4()[0])
    connecting.get(timeout=LONG)
    rec.check(["accept", ("connect", None)])
    close_all(*waiting, late, sock)


def test_connect_runs_out_of_time():
    sock, waiting = full_unix_listener()
    late = Socket(stdlib.AF_UNIX)
    late.settimeout(0)
    with pytest.raises(BlockingIOError):
        late.connect(sock.getsockname())
    late.settimeout(SHORT)
    with pytest.raises(TimeoutError):
        late.connect(sock.getsockname())
    assert late.connect_ex(sock.getsockname()) == errno.EAGAIN
    late.settimeout(None)
    connecting = [
        Greenlet.spawn(late.connect, sock.getsockname()),
        Greenlet.spawn(late.connect_ex, sock.getsockname()),
    ]
    let_others_run()
    late.close()
    with pytest.raises(OSError) as caught:
        connecting[0].get(timeout=LONG)
    assert caught.value.errno == errno.EBADF
    assert connecting[1].get(timeout=LONG) == errno.EBADF
    close_all(*waiting, sock)


def test_connect_of_a_socket_that_is_not_to_wait(listener):
    client = Socket()
    client.setblocking(False)
    assert client.connect_ex(listener.getsockname()) in (0, errno.EINPROGRESS)
    client.wait_write(LONG)
    assert client.getsockopt(stdlib.SOL_SOCKET, stdlib.SO_ERROR) == 0
    client.close()


def test_what_is_thrown_into_connect_ex_comes_out():
    sock, waiting = full_unix_listener()
    late = Socket(stdlib.AF_UNIX)

    class Thrown(OSError):
        pass

    connecting = Greenlet.spawn(late.connect_ex, sock.getsockname())
    let_others_run()
    interrupt(connecting, Thrown("mine"))
    with pytest.raises(Thrown):
        connecting.get(timeout=LONG)
    close_all(*waiting, late, sock)


def test_sockets_left_open_at_exit():
    done = run_isolated(
        """
        import corolib.hub
        import _socket
        from corolib._hub import Greenlet, Socket, sleep

        ends = [Socket(fileno=end.detach()) for end in _socket.socketpair()]
        reader = Greenlet.spawn(ends[0].recv, 10)
        sleep(0)
        print("bye")
        """
    )
    assert done.stdout == "bye\n"


def test_the_timeout_of_a_closed_socket_cannot_be_set(pair):
    near, _ = pair
    near.close()
    for change in (
        lambda: near.settimeout(1),
        lambda: near.setblocking(False),
        lambda: near.setblocking(True),
    ):
        with pytest.raises(OSError) as caught:
            change()
        assert caught.value.errno == errno.EBADF


def test_a_socket_closes_with_the_last_file_that_was_made_of_it():
    near, far = unix_pair()
    near._io_refs = 2
    near.close()
    assert near._closed
    assert near.fileno() >= 0
    near._io_refs = 0
    near.close()
    assert near.fileno() == -1
    assert far.recv(1) == b""
    near.close()
    far.close()


def test_close_calls_what_a_subclass_has_in_place_of_real_close():
    class Loud(Socket):
        def _real_close(self):
            calls.append(self.fileno() >= 0)
            super()._real_close()

    calls = []
    sock = Loud()
    sock.close()
    assert calls == [True]
    assert sock.fileno() == -1


def test_a_detached_socket_is_closed_and_a_second_init_opens_it():
    sock = Socket()
    number = sock.detach()
    assert sock._closed
    sock.__init__(fileno=number)
    assert (sock._closed, sock._io_refs) == (False, 0)
    assert sock.fileno() == number
    sock.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.10.99", "127.100.101.199", "127.200.255.254"])
def test_addresses_are_spelled_as_the_standard_library_does(host):
    sock = Socket(stdlib.AF_INET, stdlib.SOCK_DGRAM)
    plain = stdlib.socket(stdlib.AF_INET, stdlib.SOCK_DGRAM)
    plain.bind((host, 0))
    sock.bind(("127.0.0.1", 0))
    plain.sendto(b"x", sock.getsockname())
    assert sock.recvfrom(1) == (b"x", plain.getsockname())
    assert plain.getsockname()[0] == host
    sock.close()
    plain.close()
