"""Servers of the standard library and their clients in one program: python use_servers.py CROWD"""

import http.client
import http.server
import json
import os
import socket
import socketserver
import sys
import tempfile
import threading
import urllib.request
import xmlrpc.client
import xmlrpc.server
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

crowd = int(sys.argv[1])


class Serving(AbstractContextManager[Any]):
    """A server in a thread of its own."""

    def __init__(self, server: Any) -> None:
        self.server = server
        self.thread = threading.Thread(target=server.serve_forever)

    def __enter__(self) -> Any:
        self.thread.start()
        return self.server

    def __exit__(self, *exc: object) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def at_once(work: Callable[[int], None]) -> None:
    threads = [threading.Thread(target=work, args=(number,)) for number in range(crowd)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def check_http() -> None:
    everybody = threading.Barrier(crowd, timeout=30)

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args: object) -> None:
            pass

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == "/together":
                everybody.wait()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.upper())

    class Server(http.server.ThreadingHTTPServer):
        request_queue_size = 200

    with Serving(Server(("127.0.0.1", 0), Handler)) as server:
        found = []

        def work(number: int) -> None:
            client = http.client.HTTPConnection(*server.server_address)
            for turn in range(3):
                client.request("POST", "/together" if turn == 1 else "/", body=f"hello {number}" * 1000)
                found.append(client.getresponse().read() == f"HELLO {number}".encode() * 1000)
            client.close()

        at_once(work)
        print("http", len(found), all(found), everybody.broken)


def check_files() -> None:
    with tempfile.TemporaryDirectory() as place:
        content = os.urandom(1_000_000)
        with open(os.path.join(place, "file"), "wb") as file:
            file.write(content)

        class Handler(http.server.SimpleHTTPRequestHandler):
            def __init__(self, *args: Any) -> None:
                super().__init__(*args, directory=place)

            def log_message(self, *args: object) -> None:
                pass

        with Serving(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as server:
            host, port = server.server_address
            with urllib.request.urlopen(f"http://{host}:{port}/file") as answer:
                print("files", answer.read() == content)
            with urllib.request.urlopen(f"http://{host}:{port}/") as answer:
                print("files", b'href="file"' in answer.read())


class Lines(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        for line in self.rfile:
            self.wfile.write(line.upper())


class Words(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        data, sock = self.request
        sock.sendto(data.upper(), self.client_address)


def check_socketserver() -> None:
    class TCP(socketserver.ThreadingTCPServer):
        request_queue_size = 200

    with Serving(TCP(("127.0.0.1", 0), Lines)) as server:
        met = threading.Barrier(crowd, timeout=30)
        found = []

        def work(number: int) -> None:
            with socket.create_connection(server.server_address) as client, client.makefile("rw") as file:
                met.wait()  # all of them have a handler, which waits for a line
                file.write(f"line {number}\n")
                file.flush()
                found.append(file.readline() == f"LINE {number}\n")

        at_once(work)
        print("tcp", len(found), all(found))
    with tempfile.TemporaryDirectory() as place:
        with Serving(socketserver.ThreadingUnixStreamServer(f"{place}/socket", Lines)) as server:
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(f"{place}/socket")
                client.sendall(b"unix\n")
                print(client.recv(100))
    with Serving(socketserver.ThreadingUDPServer(("127.0.0.1", 0), Words)) as server:
        with socket.socket(type=socket.SOCK_DGRAM) as client:
            client.settimeout(30)
            client.sendto(b"datagram", server.server_address)
            print(client.recvfrom(100) == (b"DATAGRAM", server.server_address))
    with Serving(socketserver.ForkingTCPServer(("127.0.0.1", 0), Lines)) as server:
        with socket.create_connection(server.server_address) as client:
            client.sendall(b"from a child\n")
            client.shutdown(socket.SHUT_WR)  # the child has this end as well: a close would not be the end
            print(client.recv(100))


def check_xmlrpc() -> None:
    class Server(socketserver.ThreadingMixIn, xmlrpc.server.SimpleXMLRPCServer):
        request_queue_size = 200

    everybody = threading.Barrier(crowd, timeout=30)

    def together(number: int) -> int:
        everybody.wait()
        return number * 2

    with Serving(Server(("127.0.0.1", 0), logRequests=False, allow_none=True)) as server:
        server.register_function(together)
        server.register_function(lambda value: value, "same")
        server.register_introspection_functions()
        where = "http://{}:{}".format(*server.server_address)
        with xmlrpc.client.ServerProxy(where, allow_none=True) as proxy:
            value = {"list": [1, 2.5, None, "ü"], "bytes": xmlrpc.client.Binary(b"\0\1")}
            print(json.dumps(proxy.same(value)["list"]), proxy.system.listMethods())
            try:
                proxy.missing()
            except xmlrpc.client.Fault as fault:
                print(fault.faultCode)
        found = []

        def work(number: int) -> None:
            with xmlrpc.client.ServerProxy(where) as proxy:
                found.append(proxy.together(number))

        at_once(work)
        print("xmlrpc", sorted(found) == [number * 2 for number in range(crowd)])


check_http()
check_files()
check_socketserver()
check_xmlrpc()
