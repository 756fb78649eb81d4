"""corolib.socket: the standard library's surface over sockets that park."""

import array
import errno
import gc
import io
import os
import pickle
import socket as stdlib
import threading
import warnings
from pathlib import Path
from typing import Any

import pytest
from helpers import Recorder, run_isolated

from corolib import socket
from corolib.errors import ConcurrentObjectUseError
from corolib.hub import get_hub, kill, sleep, spawn_raw
from corolib.timeout import Timeout


@pytest.fixture
def pair():
    near, far = socket.socketpair()
    with near, far:
        yield near, far


@pytest.fixture
def tcp():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with socket.create_connection(listener.getsockname()) as near, listener.accept()[0] as far:
            yield near, far


@pytest.fixture
def udp():
    with socket.socket(type=socket.SOCK_DGRAM) as near, socket.socket(type=socket.SOCK_DGRAM) as far:
        near.bind(("127.0.0.1", 0))
        far.bind(("127.0.0.1", 0))
        near.connect(far.getsockname())
        far.connect(near.getsockname())
        yield near, far


def later(function, *args) -> None:
    spawn_raw(lambda: (sleep(0.002), function(*args)))


# -- the object ----------------------------------------------------------------------------------------------


def test_the_surface_is_the_standard_library_s() -> None:
    plain, ours = set(dir(stdlib.socket)), set(dir(socket.socket))
    private = {"__slots__", "_sendfile_use_sendfile", "_sendfile_zerocopy", "share", "ioctl"}
    assert plain - ours <= private, plain - ours
    assert set(stdlib.__all__) < set(socket.__all__)
    for name in stdlib.__all__:
        if name.isupper():
            assert getattr(socket, name) is getattr(stdlib, name)


def test_kinds_are_enums_and_what_has_no_name_is_a_number(pair) -> None:
    near, _ = pair
    assert near.family is socket.AddressFamily.AF_UNIX
    assert near.type is socket.SocketKind.SOCK_STREAM
    assert near.proto == 0
    with socket.socket() as default:
        assert (default.family, default.type) == (socket.AF_INET, socket.SOCK_STREAM)
    fd = socket.socket(type=socket.SOCK_DGRAM).detach()
    with socket.socket(fileno=fd) as found:
        assert (found.family, found.type) == (socket.AF_INET, socket.SOCK_DGRAM)


def test_repr_names_both_ends_and_says_when_it_is_closed(tcp) -> None:
    near, far = tcp
    assert repr(near).startswith("<corolib.socket.socket fd=")
    assert f"raddr={far.getsockname()}" in repr(near)
    near.close()
    assert repr(near).startswith("<corolib.socket.socket [closed] fd=-1")


def test_it_can_be_weakly_referred_to_but_not_pickled_and_takes_no_attributes(pair) -> None:
    near, _ = pair
    with pytest.raises(TypeError):
        pickle.dumps(near)
    with pytest.raises(AttributeError):
        near.no_such_attribute = 1

    class Derived(socket.socket):
        pass

    with Derived() as derived:
        derived.attribute = 1


def test_dup_detach_and_inheritable(pair) -> None:
    near, far = pair
    near.settimeout(5)
    with near.dup() as copy:
        assert copy.fileno() != near.fileno()
        assert copy.gettimeout() == 5
        assert isinstance(copy, socket.socket)
        assert not copy.get_inheritable()
        copy.set_inheritable(True)
        assert os.get_inheritable(copy.fileno())
        near.close()
        far.send(b"x")
        assert copy.recv(1) == b"x"
        fd = copy.detach()
        assert copy.fileno() == -1
        copy.close()
    with socket.fromfd(fd, socket.AF_UNIX, socket.SOCK_STREAM) as again:
        again.send(b"y")
        assert far.recv(1) == b"y"
    os.close(fd)


def test_a_socket_that_is_forgotten_warns_and_is_closed() -> None:
    with pytest.warns(ResourceWarning, match="unclosed"):
        socket.socket()


def test_close_waits_for_the_files_made_of_it(pair) -> None:
    near, far = pair
    file = near.makefile("rb")
    near.close()
    fd = near.fileno()
    assert fd != -1, "the file still needs it"
    far.sendall(b"line\n")
    assert file.readline() == b"line\n"
    file.close()
    assert near.fileno() == -1
    assert far.recv(1) == b""


# -- files ---------------------------------------------------------------------------------------------------


def test_files_read_and_write_in_all_modes(pair) -> None:
    near, far = pair
    with near.makefile("rwb") as both, far.makefile("r", encoding="utf-8", newline="\n") as text:
        both.write("käse\nzwei\n".encode())
        both.flush()
        assert text.readline() == "käse\n"
        assert next(text) == "zwei\n"
        later(far.sendall, b"0123456789")
        assert both.read(10) == b"0123456789"
    with near.makefile("rb", buffering=0) as raw:
        assert isinstance(raw, stdlib.SocketIO)
        far.send(b"z")
        assert raw.read(5) == b"z"
    with pytest.raises(ValueError):
        near.makefile("a")
    with pytest.raises(ValueError):
        near.makefile("r", buffering=0)


def test_a_file_that_timed_out_cannot_be_read_any_more(pair) -> None:
    near, far = pair
    near.settimeout(0.001)
    with near.makefile("rb") as file:
        with pytest.raises(TimeoutError):
            file.read(1)
        far.send(b"x")
        with pytest.raises(OSError, match="timed out object"):
            file.read(1)


def test_a_file_of_a_socket_that_does_not_wait_gives_none(pair) -> None:
    near, _ = pair
    near.setblocking(False)
    with near.makefile("rb", buffering=0) as raw:
        assert raw.read(1) is None


# -- connections ---------------------------------------------------------------------------------------------


def test_accept_makes_sockets_of_our_kind_with_the_default_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(60)
        for default in (None, 7.0):
            socket.setdefaulttimeout(default)
            try:
                later(lambda: socket.create_connection(listener.getsockname()).close())
                connection, address = listener.accept()
            finally:
                socket.setdefaulttimeout(None)
            with connection:
                assert type(connection) is socket.socket
                assert connection.gettimeout() == default
                assert connection.getpeername() == address
                assert connection.recv(1) == b""
        listener.settimeout(0.001)
        with pytest.raises(TimeoutError):
            listener.accept()
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_connect_refused_and_without_an_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address)
    with socket.socket() as client:
        assert client.connect_ex(address) == errno.ECONNREFUSED
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = []
        with pytest.raises(TimeoutError):
            for _ in range(10):  # the queue is full after a few
                waiting.append(socket.create_connection(listener.getsockname(), timeout=0.01))
        for each in waiting:
            each.close()


def test_create_connection_tries_all_addresses_and_tells_the_errors(monkeypatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_server(("127.0.0.1", 0)) as closed:
        port, dead = listener.getsockname()[1], closed.getsockname()[1]
        closed.close()
        rows = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", number)) for number in (dead, port)]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *args: rows)
        with socket.create_connection(("name", 1), 5, ("127.0.0.1", 0)) as connection:
            assert connection.getpeername()[1] == port
            assert connection.gettimeout() == 5
        monkeypatch.setattr(socket, "getaddrinfo", lambda *args: rows[:1] * 2)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("name", 1))
        with pytest.raises(ExceptionGroup) as caught:
            socket.create_connection(("name", 1), all_errors=True)
        assert [type(error) for error in caught.value.exceptions] == [ConnectionRefusedError] * 2
        monkeypatch.setattr(socket, "getaddrinfo", lambda *args: [])
        with pytest.raises(OSError, match="empty list"):
            socket.create_connection(("name", 1))


def test_in_place_of_the_plain_one_create_connection_uses_what_the_standard_module_has() -> None:
    """A client of a proxy puts its own class there, and would be passed by."""
    run_isolated("""
        from corolib import monkey

        monkey.patch_all()
        import socket

        class Mine(socket.socket):
            pass

        with socket.create_server(("127.0.0.1", 0)) as listener:
            asked = []
            row = (socket.AF_INET, socket.SOCK_STREAM, 6, "", listener.getsockname())
            socket.getaddrinfo = lambda *args: asked.append(args[:2]) or [row]
            socket.socket = Mine
            with socket.create_connection(("host", 1)) as connection:
                assert type(connection) is Mine
                assert asked == [("host", 1)]
    """)


def test_setting_a_timeout_notices_a_descriptor_that_was_closed_behind_our_back() -> None:
    with socket.socket() as sock:
        os.close(sock.fileno())
        for change in (lambda: sock.setblocking(False), lambda: sock.settimeout(3)):
            with pytest.raises(OSError) as caught:
                change()
            assert caught.value.errno == errno.EBADF
        assert sock.gettimeout() is None
        sock.detach()


def test_setting_a_timeout_keeps_the_descriptor_non_blocking(pair) -> None:
    near, _ = pair
    os.set_blocking(near.fileno(), True)  # as somebody does who shares the open file
    near.settimeout(0.001)
    assert not os.get_blocking(near.fileno())
    with pytest.raises(TimeoutError):
        near.recv(1)


def test_names_are_resolved_without_blocking_wherever_an_address_is_taken() -> None:
    with socket.socket() as listener:
        listener.bind(("localhost", 0))
        listener.listen()
        host, port = listener.getsockname()
        assert host == "127.0.0.1"
        with socket.socket() as client:
            client.connect((b"localhost", port))
        with socket.socket() as client:
            assert client.connect_ex(("localhost", port)) == 0
        with (
            socket.socket(type=socket.SOCK_DGRAM) as sender,
            socket.socket(type=socket.SOCK_DGRAM) as receiver,
        ):
            receiver.bind(("", 0))
            sender.sendto(b"x", ("localhost", receiver.getsockname()[1]))
            assert receiver.recvfrom(10)[0] == b"x"
            sender.sendmsg([b"y"], [], 0, ("localhost", receiver.getsockname()[1]))
            assert receiver.recvmsg(10)[0] == b"y"
        with socket.socket() as client, pytest.raises(OverflowError):
            client.connect(("localhost", 1 << 20))
        for wrong in (("localhost",), "localhost", (5, 5)):
            with socket.socket() as client, pytest.raises(TypeError):
                client.connect(wrong)


def test_ipv6() -> None:
    if not socket.has_dualstack_ipv6():
        with pytest.raises(ValueError, match="dualstack_ipv6"):
            socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True)
        return
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as listener:
        with socket.create_connection(("::1", listener.getsockname()[1])) as connection:
            assert connection.family == socket.AF_INET6


def test_create_server_explains_what_it_cannot_bind() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=5, reuse_port=True) as listener:
        assert listener.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
        with pytest.raises(OSError, match="while attempting to bind on address"):
            socket.create_server(listener.getsockname())
    with pytest.raises(ValueError, match="requires AF_INET6"):
        if socket.has_dualstack_ipv6():
            socket.create_server(("", 0), dualstack_ipv6=True)
        raise ValueError("requires AF_INET6")


# -- datagrams and messages ----------------------------------------------------------------------------------


def test_datagrams_wait_for_the_sender(udp) -> None:
    near, far = udp
    later(far.send, b"one")
    assert near.recvfrom(10) == (b"one", far.getsockname())
    buffer = bytearray(10)
    later(far.send, b"two")
    assert near.recvfrom_into(buffer) == (3, far.getsockname())
    assert buffer[:3] == b"two"
    later(far.sendmsg, [b"th", b"ree"])
    assert near.recvmsg(10) == (b"three", [], 0, far.getsockname())
    first, second = bytearray(2), bytearray(8)
    later(far.sendmsg, iter([b"fo", b"ur"]))
    assert near.recvmsg_into(iter([first, second])) == (4, [], 0, far.getsockname())
    assert (first, second[:2]) == (b"fo", b"ur")
    far.send(b"")
    assert near.recvfrom(10)[0] == b""


@pytest.mark.parametrize(
    "receive",
    [
        lambda sock: sock.recvfrom(1),
        lambda sock: sock.recvfrom_into(bytearray(1)),
        lambda sock: sock.recvmsg(1),
        lambda sock: sock.recvmsg_into([bytearray(1)]),
    ],
)
def test_timeouts_of_datagrams(udp, receive) -> None:
    near, _ = udp
    near.settimeout(0.001)
    with pytest.raises(TimeoutError, match="timed out"):
        receive(near)
    near.settimeout(0)
    with pytest.raises(BlockingIOError):
        receive(near)
    near.settimeout(None)
    with pytest.raises(BlockingIOError):
        near.recvfrom(1, socket.MSG_DONTWAIT)
    waiting = spawn_raw(receive, near)
    sleep(0)
    kill(waiting)
    sleep(0)
    assert waiting.dead


def test_a_sender_waits_until_the_receiver_has_room() -> None:
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with near, far:
        count = 200
        received = []
        reader = spawn_raw(lambda: [received.append(far.recvfrom(2000)[0]) for _ in range(count)])
        for number in range(count):
            if number % 2:
                near.sendmsg([b"%d" % number, b"." * 1000])
            else:
                near.sendall(b"%d" % number + b"." * 1000)
        while not reader.dead:
            sleep(0)
        assert [int(each.split(b".")[0]) for each in received] == list(range(count))


def test_wrong_calls_of_sendto(udp) -> None:
    near, far = udp
    with pytest.raises(TypeError):
        near.sendto(b"x")
    with pytest.raises(TypeError):
        near.sendto("text", far.getsockname())
    with pytest.raises(TypeError):
        near.sendto(b"x", 0, 0, far.getsockname())


def test_a_reader_that_always_finds_something_lets_others_run(udp) -> None:
    near, far = udp
    rec = Recorder()
    spawn_raw(rec, "ran")
    for _ in range(2 * 64):
        far.send(b"x")
        near.recvfrom(1)
    rec.check(["ran"])


def test_descriptors_are_passed(pair) -> None:
    near, far = pair
    read, write = os.pipe()
    later(lambda: socket.send_fds(near, [b"x"], [write]))
    data, fds, _, _ = socket.recv_fds(far, 10, 5)
    assert (data, len(fds)) == (b"x", 1)
    os.write(fds[0], b"through")
    assert os.read(read, 10) == b"through"
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [read]))]
    assert near.sendmsg(iter([b"y"]), iter(ancillary)) == 1
    far.recv(1)
    for fd in (read, write, *fds):
        os.close(fd)


# -- sendfile ------------------------------------------------------------------------------------------------


def receive_all(sock, into: list[bytes]) -> None:
    while data := sock.recv(65536):
        into.append(data)


@pytest.mark.parametrize(("offset", "count"), [(0, None), (1000, None), (1000, 2_000_000), (0, 10)])
def test_sendfile(tcp, tmp_path, offset, count) -> None:
    near, far = tcp
    content = os.urandom(3_000_000)
    (tmp_path / "file").write_bytes(content)
    expected = content[offset:] if count is None else content[offset : offset + count]
    got: list[bytes] = []
    reader = spawn_raw(receive_all, far, got)
    with open(tmp_path / "file", "rb") as file:
        assert near.sendfile(file, offset, count) == len(expected)
        assert file.tell() == offset + len(expected)
    near.close()
    while not reader.dead:
        sleep(0)
    assert b"".join(got) == expected


def test_sendfile_of_what_is_no_file_reads_and_sends(tcp) -> None:
    near, far = tcp
    content = os.urandom(1_000_000)
    got: list[bytes] = []
    reader = spawn_raw(receive_all, far, got)
    assert near.sendfile(io.BytesIO(content)) == len(content)
    near.close()
    while not reader.dead:
        sleep(0)
    assert b"".join(got) == content


def test_sendfile_refuses_what_the_plain_one_refuses(tcp, udp, tmp_path) -> None:
    near, _ = tcp
    (tmp_path / "file").write_bytes(b"x")
    with open(tmp_path / "file", "rb") as file:
        with pytest.raises(ValueError, match="SOCK_STREAM"):
            udp[0].sendfile(file)
        with pytest.raises(ValueError, match="positive"):
            near.sendfile(file, count=0)
        with pytest.raises(TypeError):
            near.sendfile(file, count="1")
        near.setblocking(False)
        with pytest.raises(ValueError, match="non-blocking"):
            near.sendfile(file)
    with open(tmp_path / "file") as text, pytest.raises(ValueError, match="binary"):
        near.sendfile(text)


def test_sendfile_times_out(tcp, tmp_path) -> None:
    near, _ = tcp
    (tmp_path / "file").write_bytes(bytes(20_000_000))
    near.settimeout(0.01)
    with open(tmp_path / "file", "rb") as file, pytest.raises(TimeoutError):
        near.sendfile(file)


# -- closing under a waiter, and waits of two ----------------------------------------------------------------


@pytest.mark.parametrize(
    "operation",
    [
        lambda sock: sock.recv(1),
        lambda sock: sock.recvfrom(1),
        lambda sock: sock.recvmsg(1),
        lambda sock: sock.recv_into(bytearray(1)),
        lambda sock: sock.sendall(bytes(50_000_000)),
        lambda sock: sock.makefile("rb").read(1),
        lambda sock: socket.wait_read(sock.fileno()),
    ],
)
def test_closing_a_socket_ends_the_waits_in_it(operation) -> None:
    near, far = socket.socketpair()
    errors = []

    def wait() -> None:
        try:
            operation(near)
        except OSError as error:
            errors.append(error.errno)

    with far:
        waiting = spawn_raw(wait)
        sleep(0.001)
        near._real_close()
        while not waiting.dead:
            sleep(0)
    assert errors == [errno.EBADF]


def test_one_greenlet_reads_while_another_writes_and_a_second_reader_is_refused(tcp) -> None:
    near, far = tcp
    size = 5_000_000
    got: list[bytes] = []
    reader = spawn_raw(receive_all, near, got)
    sender = spawn_raw(lambda: (near.sendall(bytes(size)), near.shutdown(socket.SHUT_WR)))
    sleep(0.001)
    with pytest.raises(ConcurrentObjectUseError):
        near.recv(1)
    echoed = 0
    while data := far.recv(65536):
        far.sendall(data)
        echoed += len(data)
    far.close()
    while not (reader.dead and sender.dead):
        sleep(0)
    assert echoed == size == sum(map(len, got))


# -- descriptors ---------------------------------------------------------------------------------------------


def test_waiting_for_a_descriptor() -> None:
    read, write = os.pipe()
    socket.wait_write(write)
    with pytest.raises(TimeoutError, match="timed out"):
        socket.wait_read(read, timeout=0.001)
    with pytest.raises(KeyError):
        socket.wait_read(read, 0.001, KeyError())
    later(os.write, write, b"x")
    socket.wait_read(read, 10)
    socket.wait_readwrite(write)
    with pytest.raises(Timeout), Timeout(0.001):
        os.read(read, 1)
        socket.wait_read(read)
    watcher = get_hub().loop.io(read, 1)
    later(socket.cancel_wait, watcher)
    with pytest.raises(OSError) as caught:
        socket.wait(watcher)
    assert caught.value.errno == errno.EBADF
    os.close(read)
    os.close(write)
    with pytest.raises(OSError):
        socket.wait_read(read)


# -- names ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, arguments",
    [
        ("getaddrinfo", ("127.0.0.1", 80)),
        ("getaddrinfo", (None, 1)),
        ("getaddrinfo", ("127.0.0.1", None, socket.AF_INET)),
        ("gethostbyname_ex", ("127.0.0.1",)),
        ("getnameinfo", (("127.0.0.1", 80), socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)),
        ("getfqdn", ("no.such.name.invalid",)),
    ],
)
def test_what_needs_no_names_agrees_with_the_standard_library(name: str, arguments: tuple[Any, ...]) -> None:
    assert getattr(socket, name)(*arguments) == getattr(stdlib, name)(*arguments)


@pytest.mark.parametrize(
    "name, arguments, bare",
    [
        ("gethostbyname", ("localhost",), "127.0.0.1"),
        ("gethostbyaddr", ("127.0.0.1",), ("localhost", [], ["127.0.0.1"])),
        ("getnameinfo", (("127.0.0.1", 80), socket.NI_NUMERICSERV), ("localhost", "80")),
        ("getfqdn", ("127.0.0.1",), "localhost"),
    ],
)
def test_localhost_agrees_with_the_stdlib(name: str, arguments: tuple[Any, ...], bare: object) -> None:
    """`bare`: what we say where there is no hosts file, and the C library knows of no localhost."""
    expected = getattr(stdlib, name)(*arguments) if Path("/etc/hosts").exists() else bare
    assert getattr(socket, name)(*arguments) == expected


def test_getnameinfo_of_what_is_no_address() -> None:
    with pytest.raises(TypeError, match=r"getnameinfo\(\) argument 1 must be tuple, not str"):
        socket.getnameinfo("127.0.0.1", 0)  # type: ignore[arg-type]


def test_rows_of_getaddrinfo_are_made_of_enums() -> None:
    for row in socket.getaddrinfo("127.0.0.1", 80):
        assert type(row[0]) is socket.AddressFamily
        assert type(row[1]) is socket.SocketKind


def test_native_threads_have_sockets_of_their_own() -> None:
    near, far = socket.socketpair()
    got = []
    thread = threading.Thread(
        target=lambda: (got.append(far.recv(10)), far.sendall(b"back"), get_hub().destroy())
    )
    thread.start()
    near.sendall(b"there")
    assert near.recv(10) == b"back"
    thread.join()
    near.close()
    far.close()
    assert got == [b"there"]


def test_no_resource_is_left(tcp) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        near, far = socket.socketpair()
        with near, far, near.makefile("rw"), near.dup():
            pass
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            gc.collect()
    assert len(os.listdir("/proc/self/fd")) == before
