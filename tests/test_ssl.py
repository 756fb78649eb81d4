"""TLS sockets: what waits lets others run; reader beside writer; closing and cutting off in the middle."""

import gc
import socket as plain
import ssl as stdlib
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from helpers import Recorder, run_isolated

import corolib
from corolib import ssl
from corolib.errors import ConcurrentObjectUseError
from corolib.hub import get_hub
from corolib.socket import create_connection, create_server, socket, socketpair


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def contexts(authority: trustme.CA) -> tuple[Any, Any]:
    """(server, client), which trusts it."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return server, client


@pytest.fixture
def pair(contexts: tuple[Any, Any]) -> Iterator[tuple[Any, Any]]:
    """Two connected TLS sockets: (client, server)."""
    near, far = connected(contexts)
    yield near, far
    near.close()
    far.close()


def connected(contexts: tuple[Any, Any], ends: Any = None) -> tuple[Any, Any]:
    server, client = contexts
    near, far = ends or socketpair()
    accepting = corolib.spawn(server.wrap_socket, far, server_side=True)
    return client.wrap_socket(near, server_hostname="localhost"), accepting.get()


def test_a_conversation(pair):
    near, far = pair
    near.sendall(b"hello")
    assert far.recv(100) == b"hello"
    assert far.send(b"and back") == 8
    assert near.read() == b"and back"
    buffer = bytearray(10)
    near.write(b"into it")
    assert far.recv_into(buffer) == 7
    assert buffer[:7] == b"into it"
    assert near.version() == far.version()
    assert near.getpeercert()["subjectAltName"] == (("DNS", "localhost"),)
    assert near.pending() == 0
    assert isinstance(near, ssl.SSLSocket)
    assert isinstance(near, socket)
    assert isinstance(near.context, ssl.SSLContext)
    assert not near.session_reused


def test_it_is_the_same_class_as_for_plain_sockets_with_everything_of_the_standard_one():
    assert issubclass(ssl.SSLSocket, socket)
    missing = [name for name in dir(stdlib.SSLSocket) if not hasattr(ssl.SSLSocket, name)]
    assert missing == []
    absent = [name for name in vars(stdlib) if not hasattr(ssl, name)]
    assert absent == []
    with pytest.raises(TypeError, match="does not have a public constructor"):
        ssl.SSLSocket(plain.AF_INET)


def test_others_run_while_one_waits_for_data(pair):
    near, far = pair
    record = Recorder()

    def reader():
        record("reads")
        record(near.recv(10))

    greenlet = corolib.spawn(reader)
    corolib.sleep(0)
    record("others")
    far.sendall(b"late")
    greenlet.join()
    record.check(["reads", "others", b"late"])


def test_a_handshake_lets_others_run_and_has_the_time_of_the_socket(contexts):
    _, client = contexts
    record = Recorder()
    near, far = socketpair()
    near.settimeout(0.05)
    corolib.spawn(record, "others")
    with pytest.raises(TimeoutError, match="timed out"):
        client.wrap_socket(near, server_hostname="localhost")
    record.check(["others"])
    far.close()


@pytest.mark.parametrize("end", ["kill", "Timeout"])
def test_a_handshake_that_is_broken_off_leaves_no_open_socket(contexts, end):
    """Python before 3.13 closes it for an OSError only."""
    _, client = contexts
    near, far = socketpair()
    if end == "kill":
        shaking = corolib.spawn(client.wrap_socket, near, server_hostname="localhost")
        corolib.sleep(0)
        shaking.kill()
    else:
        with pytest.raises(corolib.Timeout), corolib.Timeout(0.001):
            client.wrap_socket(near, server_hostname="localhost")
    # The peer sees the end after the hello; no warning comes of it.
    while far.recv(1000):
        pass
    far.close()


def test_what_timed_out_is_said_in_the_words_of_the_standard_library(contexts, pair):
    _, client = contexts
    near, far = socketpair()
    near.settimeout(0.001)
    with pytest.raises(TimeoutError, match="The handshake operation timed out"):
        client.wrap_socket(near, server_hostname="localhost")
    far.close()
    near, far = pair
    near.settimeout(0.001)
    with pytest.raises(TimeoutError, match=r"^The read operation timed out$"):
        near.recv(1)
    with pytest.raises(TimeoutError, match=r"^The read operation timed out$"):
        near.unwrap()
    far.settimeout(0.001)
    with pytest.raises(TimeoutError, match=r"^The write operation timed out$"):
        far.sendall(b"x" * 10_000_000)


def test_accept_shakes_hands_and_the_socket_of_a_connection_is_cooperative(contexts):
    server, client = contexts
    record = Recorder()
    with create_server(("127.0.0.1", 0)) as listener:
        listening = server.wrap_socket(listener, server_side=True)

        def serve():
            connection, _ = listening.accept()
            with connection:
                record(type(connection))
                connection.sendall(connection.recv(100).upper())

        serving = corolib.spawn(serve)
        with create_connection(listening.getsockname()) as raw:
            with client.wrap_socket(raw, server_hostname="localhost") as near:
                near.sendall(b"abc")
                assert near.recv(100) == b"ABC"
                assert near.recv(100) == b""
        serving.get()
        listening.close()
    record.check([ssl.SSLSocket])


def test_connect_on_a_socket_that_was_wrapped_before(contexts):
    server, client = contexts
    with create_server(("127.0.0.1", 0)) as listener:

        def serve():
            connection, _ = listener.accept()
            with server.wrap_socket(connection, server_side=True) as far:
                far.sendall(b"first")

        serving = corolib.spawn(serve)
        with client.wrap_socket(socket(), server_hostname="localhost") as near:
            near.connect(listener.getsockname())
            assert near.recv(10) == b"first"
        serving.get()


def test_the_certificate_of_the_other_is_checked(contexts):
    server, client = contexts
    near, far = socketpair()
    accepting = corolib.spawn(server.wrap_socket, far, server_side=True)
    with pytest.raises(ssl.SSLCertVerificationError, match=r"certificate is not valid for 'example\.org'"):
        client.wrap_socket(near, server_hostname="example.org")
    with pytest.raises(ssl.SSLError):
        accepting.get()


def test_a_reader_and_a_writer_at_the_same_time(pair):
    """Each side sends more than all buffers hold before it reads: this hangs if reads wait for writes."""
    near, far = pair
    count = 3_000_000

    def pump(sock, letter):
        sock.sendall(letter * count)

    def drain(sock):
        total, seen = 0, set()
        while total < count:
            data = sock.recv(65536)
            assert data
            seen.update(data)
            total += len(data)
        return total, seen

    writers = [corolib.spawn(pump, near, b"n"), corolib.spawn(pump, far, b"f")]
    corolib.sleep(0)
    readers = [corolib.spawn(drain, near), corolib.spawn(drain, far)]
    corolib.joinall([*writers, *readers], raise_error=True)
    assert readers[0].value == (count, {ord("f")})
    assert readers[1].value == (count, {ord("n")})


def test_a_second_reader_or_writer_is_told(pair):
    near, far = pair
    first = corolib.spawn(near.recv, 10)
    corolib.sleep(0)
    with pytest.raises(ConcurrentObjectUseError, match="already used by another greenlet"):
        near.recv(10)
    writer = corolib.spawn(near.sendall, b"x" * 10_000_000)
    corolib.sleep(0)
    with pytest.raises(ConcurrentObjectUseError, match="already used for writing by another greenlet"):
        near.send(b"y")
    far.sendall(b"ok")
    assert first.get() == b"ok"
    writer.kill()


@pytest.mark.parametrize("what", ["recv", "sendall", "do_handshake", "unwrap"])
def test_closing_ends_the_wait_of_others_with_EBADF(contexts, what):
    _, client = contexts
    if what == "do_handshake":
        near, far = socketpair()
        near = client.wrap_socket(near, server_hostname="localhost", do_handshake_on_connect=False)
    else:
        near, far = connected(contexts)
    arguments = {"recv": (1,), "sendall": (b"x" * 10_000_000,)}.get(what, ())
    waiting = corolib.spawn(getattr(near, what), *arguments)
    corolib.sleep(0)
    assert not waiting.ready()
    near.close()
    with pytest.raises(OSError, match="the descriptor was closed while a greenlet waited"):
        waiting.get()
    far.close()


def test_a_descriptor_that_is_used_again_is_not_read_from(contexts):
    """OpenSSL goes by the number of the descriptor."""
    near, far = connected(contexts)
    number = near.fileno()
    waiting = corolib.spawn(near.recv, 100)
    corolib.sleep(0)
    near.close()
    other, its_peer = socketpair()
    assert number in (other.fileno(), its_peer.fileno())
    other.send(b"for its peer")
    its_peer.send(b"for the other")
    with pytest.raises(OSError, match="the descriptor was closed while a greenlet waited"):
        waiting.get()
    assert other.recv(100) == b"for the other"
    assert its_peer.recv(100) == b"for its peer"
    for each in (other, its_peer, far):
        each.close()


@pytest.mark.parametrize("how", ["killed", "out of time"])
def test_a_write_that_was_cut_off_is_the_last_one(pair, how):
    near, far = pair
    if how == "killed":
        writer = corolib.spawn(near.sendall, b"a" * 10_000_000)
        corolib.sleep(0)
        writer.kill()
    else:
        near.settimeout(0.01)
        with pytest.raises(TimeoutError, match="timed out"):
            near.sendall(b"a" * 10_000_000)
        near.settimeout(None)
    with pytest.raises(ssl.SSLError, match="interrupted in the middle of a record"):
        near.sendall(b"b" * 100)
    reader = corolib.spawn(far.recv, 1 << 20)
    assert set(reader.get()) == {ord("a")}
    far.sendall(b"still")
    assert near.recv(10) == b"still"


def test_non_blocking_use_is_as_in_the_standard_library(pair):
    near, far = pair
    near.setblocking(False)
    # The tickets of TLS 1.3 are read first.
    with pytest.raises(ssl.SSLWantReadError):
        near.recv(10)
    piece = b"z" * 100_000
    sent = 0
    with pytest.raises(ssl.SSLWantWriteError):
        while True:
            sent += near.send(piece)
    got = b""
    while len(got) < sent:
        got += far.recv(1 << 20)
    sent += near.send(piece)
    while len(got) < sent:
        got += far.recv(1 << 20)
    assert got == b"z" * sent


def test_bad_arguments_leave_it_usable(pair):
    near, far = pair
    with pytest.raises(TypeError, match="bytes-like"):
        near.write("text")
    with pytest.raises(ValueError, match="non-zero flags not allowed"):
        near.send(b"x", plain.MSG_OOB)
    with pytest.raises(ValueError, match="sendto not allowed"):
        near.sendto(b"x", ("127.0.0.1", 1))
    for refused in (near.recvmsg, near.sendmsg, near.recvmsg_into, near.dup):
        with pytest.raises(NotImplementedError):
            refused()
    near.sendall(b"")
    near.sendall(b"fine")
    assert far.recv(10) == b"fine"


def test_unwrap_ends_on_both_sides_and_goes_on_in_the_clear(pair):
    near, far = pair
    record = Recorder()

    def other():
        record(far.recv(10))
        plain_far = far.unwrap()
        plain_far.sendall(b"in the clear")

    answering = corolib.spawn(other)
    plain_near = near.unwrap()
    assert plain_near.recv(100) == b"in the clear"
    answering.get()
    record.check([b""])
    with pytest.raises(ValueError, match="No SSL wrapper"):
        near.unwrap()


@pytest.mark.parametrize("want", ["room", "data"])
@pytest.mark.parametrize("first", ["read", "write"])
def test_a_read_that_has_to_write_and_the_reverse_wait_beside_the_other_direction(contexts, want, first):
    """As in a change of keys; OpenSSL cannot be brought to it at will, so something else stands for it."""
    near, far = connected(contexts)

    class Renegotiating:
        ready = False

        def read(self, size, *buffer):
            if not self.ready:
                raise ssl.SSLWantWriteError if want == "room" else ssl.SSLWantReadError
            return b"read"

        def write(self, data):
            self.read(0)
            return len(data)

    far.setblocking(False)
    with pytest.raises(ssl.SSLWantReadError):
        far.recv(1)
    near.setblocking(False)
    with pytest.raises(ssl.SSLWantReadError):
        near.recv(1)  # the tickets of TLS 1.3
    near.setblocking(True)
    kept, near._sslobj = near._sslobj, Renegotiating()
    if want == "room":
        with pytest.raises(BlockingIOError):
            while True:
                socket.send(near, bytes(1 << 20), plain.MSG_DONTWAIT)
    calls = {"read": (near.recv, 10), "write": (near.sendall, b"x")}
    waiting = [corolib.spawn(*calls.pop(first)), corolib.spawn(*calls.popitem()[1])]
    corolib.sleep(0)
    assert [each.ready() for each in waiting] == [False, False]
    near._sslobj.ready = True
    if want == "room":
        with pytest.raises(BlockingIOError):
            while True:
                socket.recv(far, 1 << 20, plain.MSG_DONTWAIT)
    else:
        socket.send(far, b"x")
    assert {each.get() for each in waiting} == {b"read", None}
    near._sslobj = kept
    near.close()
    far.close()


def test_unwrap_with_data_in_flight_says_so_and_the_data_can_be_read(contexts):
    near, far = connected(contexts)
    far.sendall(b"in flight")
    with pytest.raises(ssl.SSLError, match=r"(?i)application.data.after.close.notify"):
        near.unwrap()
    near.close()
    far.close()


def test_unwrap_gives_up_when_the_time_is_over(pair):
    near, _ = pair
    near.settimeout(0.02)
    with pytest.raises(TimeoutError):
        near.unwrap()


@pytest.mark.parametrize("suppress", [True, False])
def test_an_end_without_goodbye(contexts, suppress):
    server, client = contexts
    near, far = socketpair()
    accepting = corolib.spawn(server.wrap_socket, far, server_side=True)
    near = client.wrap_socket(near, server_hostname="localhost", suppress_ragged_eofs=suppress)
    far = accepting.get()
    # What the handshake left over is read first, so that closing sends no reset.
    far.setblocking(False)
    with pytest.raises(ssl.SSLWantReadError):
        far.recv(1)
    # Not closed: OpenSSL 3.6 answers with an alert, which would find a broken pipe.
    far.shutdown(plain.SHUT_WR)
    if suppress:
        assert near.recv(10) == b""
        assert near.recv_into(bytearray(10)) == 0
    else:
        with pytest.raises(ssl.SSLEOFError):
            near.recv(10)
    near.close()
    far.close()


def test_a_file_goes_by_send_where_the_kernel_encrypts(pair):
    class GiveUp(Exception):
        pass

    near, _ = pair
    with pytest.raises(GiveUp):  # as sendfile() of CPython 3.15 calls it, which then goes on with send()
        near._sendfile_zerocopy(lambda *_: pytest.fail("used"), GiveUp, None, 0, None)


def test_what_came_in_the_clear_before_a_close_is_not_taken_for_tls(contexts):
    """CVE-2023-40217."""
    server, _ = contexts
    with create_server(("127.0.0.1", 0)) as listener:
        attacker = create_connection(listener.getsockname())
        attacker.sendall(b"DELETE / HTTP/1.0\\r\\n\\r\\n")
        attacker.setsockopt(plain.SOL_SOCKET, plain.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        connection, _ = listener.accept()
        attacker.close()
        while True:  # until the reset has come
            try:
                connection.getpeername()
            except OSError:
                break
            corolib.sleep(0.001)
        with pytest.raises(OSError):
            far = server.wrap_socket(connection, server_side=True)
            assert far.recv(100) == b""
            far.do_handshake()


def test_a_server_name_callback_may_switch(contexts, authority):
    _, client = contexts
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(server)
    record = Recorder()

    def choose(sock, name, context):
        corolib.spawn(record, "others").join()
        record(name)
        assert isinstance(sock, ssl.SSLSocket)

    server.sni_callback = choose
    near, far = connected((server, client))
    record.check(["others", "localhost"])
    near.close()
    far.close()


def test_a_server_name_callback_that_raises_fails_the_handshake_on_both_sides(authority, monkeypatch):
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.issue_cert("localhost").configure_cert(server)
    authority.configure_trust(client)
    unraisable = []
    monkeypatch.setattr(sys, "unraisablehook", lambda each: unraisable.append(each.exc_type))

    def choose(sock, name, context):
        corolib.sleep(0)
        raise ZeroDivisionError

    server.sni_callback = choose
    near, far = socketpair()
    accepting = corolib.spawn(server.wrap_socket, far, server_side=True)
    get_hub().handle_error = lambda *error: None
    with pytest.raises(ssl.SSLError, match=r"(?i)alert"):
        client.wrap_socket(near, server_hostname="localhost")
    with pytest.raises(ssl.SSLError, match=r"(?i)callback"):
        accepting.get()
    assert unraisable == [ZeroDivisionError]


def test_a_client_shows_its_certificate(authority):
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.issue_cert("localhost").configure_cert(server)
    authority.configure_trust(server)
    authority.configure_trust(client)
    server.verify_mode = ssl.CERT_REQUIRED
    get_hub().handle_error = lambda *error: None
    near, far = socketpair()
    accepting = corolib.spawn(server.wrap_socket, far, server_side=True)
    with client.wrap_socket(near, server_hostname="localhost") as wrapped:
        with pytest.raises(ssl.SSLError, match=r"(?i)peer did not return a certificate"):
            accepting.get()
        with pytest.raises(ssl.SSLError, match=r"(?i)certificate required"):
            wrapped.recv(1)
    authority.issue_cert("client").configure_cert(client)
    near, far = connected((server, client))
    assert far.getpeercert()["subjectAltName"] == (("DNS", "client"),)
    near.close()
    far.close()


def test_sendall_of_nothing_with_and_without_a_timeout(pair):
    near, far = pair
    for timeout in (None, 1, 0):
        near.settimeout(timeout)
        assert near.sendall(b"") is None
    near.settimeout(1)
    near.sendall(b"x")
    assert far.recv(10) == b"x"


def test_each_wait_has_an_exception_of_its_own(pair):
    """One that is raised again and again would collect the frames of all who met it."""
    near, _ = pair
    near.settimeout(0.001)
    seen = []
    for _ in range(3):
        with pytest.raises(TimeoutError) as caught:
            near.recv(1)
        seen.append(caught.value)
    assert len(set(map(id, seen))) == 3
    assert all(each.__context__ is None or each.__context__ not in seen for each in seen)


@pytest.mark.slow
@pytest.mark.heavy
def test_ten_thousand_handshakes_leave_no_memory(contexts):
    def shake(count):
        for _ in range(count):
            near, far = connected(contexts)
            near.close()
            far.close()
        gc.collect()
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4

    before = shake(1000)
    after = shake(10_000)
    assert after - before < 2000, "KiB"


def test_the_protocol_is_agreed_on(authority):
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("localhost").configure_cert(server)
    authority.configure_trust(client)
    server.set_alpn_protocols(["h2", "http/1.1"])
    client.set_alpn_protocols(["http/1.1"])
    near, far = connected((server, client))
    assert near.selected_alpn_protocol() == far.selected_alpn_protocol() == "http/1.1"
    near.close()
    far.close()


def test_a_session_is_used_again(authority):
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("localhost").configure_cert(server)
    authority.configure_trust(client)
    server.maximum_version = ssl.TLSVersion.TLSv1_2
    near, far = connected((server, client))
    session = near.session
    near.close()
    far.close()
    near, far = socketpair()
    accepting = corolib.spawn(server.wrap_socket, far, server_side=True)
    near = client.wrap_socket(near, server_hostname="localhost", session=session)
    accepting.get().close()
    assert near.session_reused
    near.close()


def test_makefile_and_sendfile(pair, tmp_path):
    near, far = pair
    path = tmp_path / "file"
    path.write_bytes(b"line\n" * 50_000)
    with path.open("rb") as file:
        sending = corolib.spawn(near.sendfile, file)
        with far.makefile("rb") as stream:
            for _ in range(50_000):
                assert stream.readline() == b"line\n"
        assert sending.get() == 250_000


def test_no_circle_is_left(contexts):
    near, far = connected(contexts)
    references = [weakref.ref(near), weakref.ref(far)]
    gc.disable()
    try:
        near.close()
        far.close()
        del near, far
        assert [each() for each in references] == [None, None]
    finally:
        gc.enable()


def test_a_busy_reader_lets_others_run(pair):
    near, far = pair
    record = Recorder()
    for _ in range(200):
        near.sendall(b"x")
    corolib.spawn(record, "others")
    for _ in range(200):
        far.recv(1)
        if record.items:
            break
    record.check(["others"])


def test_the_certificate_of_a_server_can_be_fetched(contexts, authority, tmp_path):
    server, _ = contexts
    with create_server(("127.0.0.1", 0)) as listener:

        def serve():
            connection, _ = listener.accept()
            server.wrap_socket(connection, server_side=True).close()

        serving = corolib.spawn(serve)
        certificate = ssl.get_server_certificate(listener.getsockname())
        assert certificate.startswith("-----BEGIN CERTIFICATE-----")
        serving.join()


PATCHED = """
    import sys
    if "late" in sys.argv:
        import ssl, http.client, urllib.request
        early = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        wanted = ssl.create_default_context()
    import warnings
    from corolib import monkey
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        monkey.patch_all()
    import ssl, threading, urllib.request
    from http.server import BaseHTTPRequestHandler, HTTPServer
    import corolib.ssl, corolib
    if "late" not in sys.argv:
        early = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        wanted = ssl.create_default_context()
    assert ssl.SSLSocket is corolib.ssl.SSLSocket
    early.load_cert_chain(sys.argv[1])
    wanted.load_verify_locations(sys.argv[2])
    # The properties that call up to their class by its name in the module.
    wanted.minimum_version = ssl.TLSVersion.TLSv1_2
    wanted.options |= ssl.OP_NO_COMPRESSION
    wanted.verify_flags |= ssl.VERIFY_X509_STRICT & 0
    wanted.verify_mode = ssl.CERT_REQUIRED

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            corolib.sleep(0.05)
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")
        def log_message(self, *args): pass

    class Server(HTTPServer):
        def process_request(self, request, address):
            threading.Thread(target=self.handle, args=(request, address)).start()
        def handle(self, request, address):
            self.finish_request(early.wrap_socket(request, server_side=True), address)
            self.shutdown_request(request)

    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    order = []

    def get(number):
        with urllib.request.urlopen(f"https://localhost:{server.server_port}/", context=wanted) as answer:
            order.append(("end", answer.read()))

    threads = [threading.Thread(target=get, args=(number,)) for number in range(10)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    server.shutdown()
    print(len(order), set(order))
"""


@pytest.mark.parametrize("when", ["early", "late"])
def test_https_of_the_standard_library_patched(authority, tmp_path, when):
    certificate, root = tmp_path / "server.pem", tmp_path / "root.pem"
    issued = authority.issue_cert("localhost", "127.0.0.1")
    issued.private_key_and_cert_chain_pem.write_to_path(str(certificate))
    authority.cert_pem.write_to_path(str(root))
    done = run_isolated(PATCHED, certificate, root, when)
    assert done.stdout == "10 {('end', b'ok')}\n"


def test_asyncio_with_tls_is_left_as_it_is():
    assert ssl.SSLObject is stdlib.SSLObject
    assert ssl.MemoryBIO is stdlib.MemoryBIO
    assert Path(ssl.__file__).name == "ssl.py"
