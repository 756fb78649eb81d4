"""A name server for tests: in a native thread, on loopback, with answers that a test decides on."""

import select
import socket
import struct
import threading
from collections.abc import Callable, Iterable
from typing import Self

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

#: How many CNAMEs a server follows.
CHAIN = 20


class Request:
    """One query, and the ways to answer it."""

    def __init__(self, wire: bytes, tcp: bool, send: Callable[[bytes], object], peer: object) -> None:
        self.wire = wire
        self.query = dns.message.from_wire(wire)
        self.tcp = tcp
        self.peer = peer
        self._send = send

    @property
    def name(self) -> str:
        return self.query.question[0].name.to_text()

    @property
    def type(self) -> str:
        return dns.rdatatype.to_text(self.query.question[0].rdtype)

    def answer(self, *records: str, rcode: str = "NOERROR", soa: str | None = None) -> dns.message.Message:
        """An answer with the records ("name ttl type data", a name of "@" is the one asked for)."""
        made = dns.message.make_response(self.query)
        made.flags |= dns.flags.RA
        made.set_rcode(dns.rcode.from_text(rcode))
        for record in records:
            made.answer.append(rrset(record.replace("@", self.name, 1)))
        if soa is not None:
            made.authority.append(rrset(soa))
        return made

    def truncated(self) -> dns.message.Message:
        """An answer that says: ask by TCP."""
        made = self.answer()
        made.flags |= dns.flags.TC
        return made

    def send(self, message: dns.message.Message | bytes, max_size: int = 65535) -> None:
        """Send it where the query came from."""
        wire = message if isinstance(message, bytes) else message.to_wire(max_size=max_size)
        self._send(wire if not self.tcp else struct.pack("!H", len(wire)) + wire)

    def send_raw(self, data: bytes) -> None:
        """By TCP: without the length before it."""
        self._send(data)

    def send_from_elsewhere(self, message: dns.message.Message, address: str = "127.0.0.1") -> None:
        """From a port that nobody was asked at."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.bind((address, 0))
            other.sendto(message.to_wire(), self.peer)  # type: ignore[call-overload]


def rrset(text: str) -> dns.rrset.RRset:
    name, ttl, rdtype, data = text.split(None, 3)
    return dns.rrset.from_text(dns.name.from_text(name), int(ttl), "IN", rdtype, data)


class Zone:
    """Answers from a list of records; a name that is not there does not exist. A record of the type RCODE
    names the error that is answered for the name.
    """

    def __init__(self, records: Iterable[str]) -> None:
        self.records: dict[dns.name.Name, dict[str, list[str]]] = {}
        for record in records:
            name, _, rdtype, data = record.split(None, 3)
            found = self.records.setdefault(dns.name.from_text(name), {})
            found.setdefault(rdtype, []).append(data if rdtype == "RCODE" else record)

    def __call__(self, request: Request) -> None:
        name = request.query.question[0].name
        records: list[str] = []
        for _ in range(CHAIN):
            here = self.records.get(name)
            if here is None or request.type in here or "CNAME" not in here or request.type == "CNAME":
                break
            records += here["CNAME"]
            name = dns.name.from_text(here["CNAME"][0].split(None, 3)[3])
        else:
            here = {}
        if here is None:
            inner = any(each.is_subdomain(name) for each in self.records)
            rcode = "NOERROR" if inner else "NXDOMAIN"
        else:
            rcode = here.get("RCODE", ["NOERROR"])[0]
            records += here.get(request.type, [])
        made = request.answer(*records, rcode=rcode, soa=None if records else ". 60 SOA . . 1 1 1 1 60")
        try:
            request.send(made, 65535 if request.tcp else max(512, request.query.payload))
        except dns.exception.TooBig:
            request.send(request.truncated())


class NameServer:
    """Answers by UDP and TCP at one port; `asked` has (name, type, tcp) of each query."""

    def __init__(self, handler: Callable[[Request], object], port: int = 0) -> None:
        self.handler = handler
        self.asked: list[tuple[str, str, bool]] = []
        self.failures: list[BaseException] = []
        for _ in range(50):
            self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.udp.bind(("127.0.0.1", port))
            self.port: int = self.udp.getsockname()[1]
            try:
                self.listener = socket.create_server(("127.0.0.1", self.port))
                break
            except OSError:  # somebody has this port for TCP
                self.udp.close()
        self.ending, self.end = socket.socketpair()
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    @property
    def text(self) -> str:
        """For config.resolver_nameservers."""
        return f"127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.end.close()
        self.thread.join()
        for each in (self.udp, self.listener, self.ending):
            each.close()
        if self.failures:
            raise self.failures[0]

    def _serve(self) -> None:
        while True:
            ready, _, _ = select.select([self.udp, self.listener, self.ending], [], [])
            if self.ending in ready:
                return
            if self.udp in ready:
                wire, peer = self.udp.recvfrom(65535)
                self._handle(Request(wire, False, lambda data, peer=peer: self.udp.sendto(data, peer), peer))
            if self.listener in ready:
                connection, peer = self.listener.accept()
                threading.Thread(target=self._serve_stream, args=(connection, peer), daemon=True).start()

    def _serve_stream(self, connection: socket.socket, peer: object) -> None:
        with connection:
            connection.settimeout(60)
            try:
                while length := connection.recv(2, socket.MSG_WAITALL):
                    wire = connection.recv(struct.unpack("!H", length)[0], socket.MSG_WAITALL)
                    self._handle(Request(wire, True, connection.sendall, peer))
            except OSError:
                pass  # the asker has gone

    def _handle(self, request: Request) -> None:
        self.asked.append((request.name, request.type, request.tcp))
        try:
            self.handler(request)
        except OSError:
            pass  # the asker has gone
        except BaseException as error:
            self.failures.append(error)
