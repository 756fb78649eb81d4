"""Servers and clients of the standard library, all in one thread."""

from corolib import monkey

monkey.patch_all()

import http.client
import os
import select
import selectors
import socket
import socketserver
import threading
import urllib.error
import urllib.request
import xmlrpc.client
import xmlrpc.server
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from corolib import socket as ours

assert socket.socket is ours.socket
assert socket.create_connection is ours.create_connection


def one_os_thread() -> bool:
    return len(os.listdir("/proc/self/task")) == 1


class Echo(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        for line in self.rfile:
            self.wfile.write(threading.current_thread().name.encode() + b" " + line)


class TCP(socketserver.ThreadingTCPServer):
    daemon_threads = True


with TCP(("127.0.0.1", 0), Echo) as server:
    running = threading.Thread(target=server.serve_forever)
    running.start()
    clients = [socket.create_connection(server.server_address) for _ in range(20)]
    seen = set()
    for number, client in enumerate(clients):
        client.sendall(f"{number}\n".encode())
    for number, client in enumerate(clients):
        with client, client.makefile("r") as lines:
            name, _, text = lines.readline().strip().rpartition(" ")
            assert text == str(number)
            seen.add(name)
    assert len(seen) == 20, seen
    server.shutdown()
    running.join()


class Datagrams(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        data, sock = self.request
        sock.sendto(data.upper(), self.client_address)


with socketserver.ThreadingUDPServer(("127.0.0.1", 0), Datagrams) as server:
    running = threading.Thread(target=server.serve_forever)
    running.start()
    with socket.socket(type=socket.SOCK_DGRAM) as client:
        client.settimeout(60)
        client.sendto(b"hello", server.server_address)
        assert client.recvfrom(100) == (b"HELLO", server.server_address)
    server.shutdown()
    running.join()


class Pages(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200 if self.path == "/echo" else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


with ThreadingHTTPServer(("127.0.0.1", 0), Pages) as server:
    running = threading.Thread(target=server.serve_forever)
    running.start()
    connection = http.client.HTTPConnection("localhost", server.server_port, timeout=60)
    big = os.urandom(3_000_000)
    for body in (b"", b"x", big):
        connection.request("POST", "/echo", body)
        response = connection.getresponse()
        assert response.status == 200
        assert response.read() == body
    connection.close()
    url = f"http://127.0.0.1:{server.server_port}"
    assert urllib.request.urlopen(url + "/echo", b"data", timeout=60).read() == b"data"
    try:
        urllib.request.urlopen(url + "/other", b"data")
    except urllib.error.HTTPError as error:
        with error:
            assert error.code == 404
    else:
        raise AssertionError("404 was taken for an answer")
    server.shutdown()
    running.join()

with xmlrpc.server.SimpleXMLRPCServer(("127.0.0.1", 0), logRequests=False) as rpc:
    rpc.register_function(pow)
    running = threading.Thread(target=rpc.serve_forever)
    running.start()
    with xmlrpc.client.ServerProxy(f"http://127.0.0.1:{rpc.server_address[1]}") as proxy:
        assert proxy.pow(2, 10) == 1024
    rpc.shutdown()
    running.join()

# Select and selectors wait without stopping the others.
for make in (
    selectors.DefaultSelector,
    selectors.PollSelector,
    selectors.SelectSelector,
    selectors.EpollSelector,
):
    near, far = socket.socketpair()
    with near, far, make() as selector:
        selector.register(near, selectors.EVENT_READ, "data")
        assert selector.select(0) == []
        assert selector.select(0.001) == []
        sender = threading.Timer(0.001, far.send, args=(b"x",))
        sender.start()
        ((key, events),) = selector.select(10)
        assert (key.fileobj, key.data, events) == (near, "data", selectors.EVENT_READ)
        sender.join()
near, far = socket.socketpair()
with near, far:
    sender = threading.Timer(0.001, far.send, args=(b"x",))
    sender.start()
    assert select.select([near], [], [near], 10) == ([near], [], [])
    sender.join()

assert one_os_thread()
