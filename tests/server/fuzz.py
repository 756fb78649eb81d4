"""Fuzzes the reader of requests with a grammar, and judges it by h11: tests/server/fuzz.py --count 1000000

Connections are made of pieces that are right, nearly right, and wrong, and are then cut, doubled and
overwritten. For each: one result however the bytes are cut; whatever is served is, for h11, exactly one
request with the same method, target, fields and body, in exactly those bytes. Anything else ends the run with
the batch to repeat.

Batches are numbered, and each has a random generator of its own: --seed and --batch give one again, --first
goes on where a run was ended. Some 7,000 connections a second of one processor's time.
"""

import argparse
import faulthandler
import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import h11

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from corolib.server.http1 import Limits, Refused, make_reader
from tests.server.driver import Request, read_requests

BATCH = 500
LIMITS = Limits(target=200, head=1500, fields=12, body=3000)

METHODS = (b"GET", b"POST", b"HEAD", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"TRACE", b"PROPFIND", b"QUERY")
ODD_METHODS = (
    b"CONNECT",
    b"get",
    b"GETX",
    b"",
    b"G ET",
    b"G\tET",
    b"SOURCE",
    b"PRI",
    b"M" * 30,
    b"GET:",
    b"\x00",
    b"!#$%",
)
TARGETS = (
    b"/",
    b"/a",
    b"/a/b?c=d",
    b"/?",
    b"//x",
    b"/%41%zz%4",
    b"http://h/",
    b"http://h:1/p?q",
    b"https://[::1]/",
    b"*",
)
ODD_TARGETS = (
    *(
        b"",
        b" ",
        b"a",
        b"/ b",
        b"/#",
        b"/\x7f",
        b"/\xff",
        b"/\x00",
        b"http://",
        b"http://u@h/",
        b"ftp://h/",
        b"/" + b"a" * 300,
    ),
    *(b"http://h:x/", b"**", b"?", b"http:///", b"/\t"),
)
VERSIONS = (b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0")
ODD_VERSIONS = (
    b"HTTP/1.2",
    b"HTTP/2.0",
    b"HTTP/0.9",
    b"http/1.1",
    b"HTTP/1.1 ",
    b"",
    b"HTTP/11",
    b"RTSP/1.0",
    b"HTTP/1.1\x00",
)
HOSTS = (b"h", b"h.example:80", b"[::1]:8080", b"127.0.0.1", b"h:", b"a-b.c_d")
ODD_HOSTS = (
    b"",
    b"a b",
    b"a,b",
    b"[::1",
    b"u@h",
    b"h:99999",
    b"h/x",
    b"\xff",
    b"h\x00",
    b"[1.2.3.4]",
    b"h:1:2",
)
NAMES = (
    b"Accept",
    b"Cookie",
    b"X",
    b"X-Y",
    b"User-Agent",
    b"x!#$%&'*+-.^`|~9",
    b"Content-Type",
    b"TE",
    b"Via",
    b"Connection",
)
ODD_NAMES = (
    b"X ",
    b" X",
    b"",
    b"X\x00",
    b"X_Y",
    b"Content_Length",
    b"\xff",
    b"(",
    b"X\t",
    b"Proxy",
    b"X:Y",
    b"X\rY",
    b"a" * 2000,
)
VALUES = (
    b"a",
    b"",
    b"a b",
    b"\xe4\xff",
    b"a, b",
    b"a\tb",
    b"close",
    b"keep-alive",
    b"upgrade",
    b"x" * 50,
    b"a",
    b"b",
)
ODD_VALUES = (b"\x00", b"a\x01", b"\x7f", b"a\rb", b"a\nb", b"\r\n b", b"\x0b", b"a" * 2000)
LENGTHS = (b"0", b"1", b"3", b"5", b"10", b"03")
ODD_LENGTHS = (
    b"+5",
    b"-1",
    b"5,5",
    b"5 5",
    b"0x5",
    b"",
    b"5_0",
    b"9" * 25,
    b"9223372036854775808",
    b"\xa05",
    b"5\x00",
    b"5.0",
    b"3001",
)
CODINGS = (b"chunked", b"Chunked", b"CHUNKED")
ODD_CODINGS = (
    b"identity",
    b"gzip, chunked",
    b"chunked, chunked",
    b"xchunked",
    b"chunked\x0b",
    b"",
    b"chunked;a",
    b"\tchunked",
    b"chunked,",
)
SIZES = (b"%x", b"%X", b"0%x", b"00%x")
ODD_SIZES = (
    b"+%x",
    b"-%x",
    b"0x%x",
    b"%x ",
    b" %x",
    b"%xg",
    b"",
    b"%x;",
    b"%x;a=b",
    b"%x; a",
    b"%x;\x00",
    b"%x\x00",
    b"f" * 17,
    b"%x_",
    b"%x;" + b"a" * 5000,
)
ODD_ENDS = (b"\n", b"\r", b"\r\r\n", b"\n\r", b"", b"\r\n\r\n", b"\r\n ", b"\x00\r\n", b" \r\n", b"\x0b\r\n")
ODD_TRAILERS = (*ODD_NAMES, b"Content-Length", b"Host")
BLANKS = (b" ", b" ", b" ", b"", b"\t", b"  ")
BLANKS_AFTER = (b"", b"", b"", b" ", b"\t ")
DAMAGE = tuple(bytes([byte]) for byte in b"\r\n\t \x00:;,0159afAF_\x7f\xff\x0b%-+")
DATA = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n0\r\n\r\n5\r\nabcde\r\nTransfer-Encoding: chunked\r\n\r\n"


class Maker:
    """Makes the bytes of connections. `oddness` is how likely each piece is a wrong one."""

    def __init__(self, rng: Random) -> None:
        #: All chance comes from this one method: choice() and randrange() cost three times as much.
        self.random = rng.random
        self.oddness = 0.0
        #: Requests made, of whatever kind.
        self.made = 0

    def below(self, count: int) -> int:
        """A number from 0 on."""
        return int(self.random() * count)

    def one(self, pieces: Sequence[Any]) -> Any:
        """One of them."""
        return pieces[int(self.random() * len(pieces))]

    def pick(self, right: Sequence[bytes], wrong: Sequence[bytes]) -> bytes:
        """One of the pieces."""
        pieces = wrong if self.random() < self.oddness else right
        return pieces[int(self.random() * len(pieces))]

    def end(self) -> bytes:
        return self.one(ODD_ENDS) if self.random() < self.oddness else b"\r\n"

    def field(self, name: bytes, value: bytes) -> bytes:
        return b"%b:%b%b%b%b" % (name, self.one(BLANKS), value, self.one(BLANKS_AFTER), self.end())

    def data(self, length: int) -> bytes:
        start = self.below(len(DATA))
        return (DATA[start:] + DATA * (length // len(DATA) + 1))[:length]

    def chunks(self) -> bytes:
        """A body in chunks."""
        out = []
        for _ in range(self.below(4)):
            length = self.one((1, 2, 5, 10, 17, 100))
            size = self.pick(SIZES, ODD_SIZES)
            said = length if self.random() >= self.oddness else length + self.one((-1, 1, 2))
            out += (size % said if b"%" in size else size, self.end(), self.data(length), self.end())
        out += (self.pick((b"0", b"00", b"0;a"), (b"", b"0 ", b"-0", b"0\x00", b"x")), self.end())
        for _ in range(self.one((0, 0, 0, 1, 2))):
            out.append(self.field(self.pick(NAMES, ODD_TRAILERS), self.pick(VALUES, ODD_VALUES)))
        out.append(self.end())
        return b"".join(out)

    def request(self) -> bytes:
        self.made += 1
        random, pick, field = self.random, self.pick, self.field
        out = [
            pick(METHODS, ODD_METHODS),
            pick((b" ",), (b"  ", b"\t", b"", b" \x00")),
            pick(TARGETS, ODD_TARGETS),
            pick((b" ",), (b"  ", b"\t", b"")),
            pick(VERSIONS, ODD_VERSIONS),
            self.end(),
        ]
        fields = [field(b"Host", pick(HOSTS, ODD_HOSTS))] if random() >= self.oddness else []
        for _ in range(self.one((0, 0, 1, 1, 2, 3, 5))):
            fields.append(field(pick(NAMES, ODD_NAMES), pick(VALUES, ODD_VALUES)))
        body = b""
        kind = random()
        if kind < 0.3:
            length = pick(LENGTHS, ODD_LENGTHS)
            fields.append(field(self.one((b"Content-Length", b"content-length")), length))
            body = self.data(int(length) if length.isdigit() and len(length) < 5 else self.below(20))
        elif kind < 0.6:
            fields.append(field(b"Transfer-Encoding", pick(CODINGS, ODD_CODINGS)))
            body = self.chunks()
        if random() < self.oddness:
            fields.append(self.one(fields) if fields and random() < 0.5 else field(b"Content-Length", b"5"))
        if random() < self.oddness / 2:
            fields.append(field(b"Transfer-Encoding", pick(CODINGS, ODD_CODINGS)))
        if random() < 0.05:
            fields.append(field(b"Expect", pick((b"100-continue",), (b"x", b""))))
        if random() < 0.05:
            fields += [field(b"Connection", b"upgrade"), field(b"Upgrade", pick((b"x",), (b"",)))]
        if len(fields) > 1:
            fields.sort(key=lambda _: random())
        return b"".join([*out, *fields, self.end(), body])

    def connection(self) -> bytes:
        """Some requests, possibly damaged."""
        self.oddness = self.one((0.0, 0.0, 0.02, 0.05, 0.1, 0.3))
        data = b"".join(
            b"\r\n" + self.request() if self.random() < 0.2 else self.request()
            for _ in range(self.one((1, 1, 2, 3)))
        )
        return self.damage(data) if self.random() < 0.3 else data

    def damage(self, data: bytes) -> bytes:
        """The same with some bytes overwritten, lost, put in or doubled."""
        damaged = bytearray(data)
        for _ in range(self.one((1, 1, 2, 4))):
            at = self.below(len(damaged) + 1)
            match self.below(5):
                case 0:
                    damaged[at : at + 1] = self.one(DAMAGE)
                case 1:
                    del damaged[at : at + self.one((1, 1, 2, 5))]
                case 2:
                    damaged[at:at] = self.one(DAMAGE)
                case 3:
                    damaged[at:at] = damaged[at : at + self.below(40)]
                case _:
                    del damaged[at:]
        return bytes(damaged)

    def cuts(self, data: bytes) -> list[list[bytes]]:
        """Ways to deliver it: by bytes at times, always in a few pieces."""
        ways = []
        if self.random() < 0.1:
            ways.append([data[i : i + 1] for i in range(len(data))])
        places = sorted([self.below(len(data) + 1) for _ in range(self.one((1, 2, 5)))])
        pieces, start = [], 0
        for place in (*places, len(data)):
            pieces.append(data[start:place])
            start = place
        ways.append(pieces)
        return ways


def serve(pieces: Sequence[bytes]) -> tuple[list[Request], int | None, bool]:
    """What our reader makes of them: requests, the status of the refusal, whether it would read on."""
    reader = make_reader({}, LIMITS)
    served: list[Request] = []
    going = True
    try:
        for request in read_requests(reader, pieces):
            served.append(request)
            going = reader.keep_alive
    except Refused as refused:
        return served, refused.args[0], False
    return served, None, going


def key_of(name: bytes) -> str:
    """A field's key in the environ."""
    key = name.decode("ascii").upper().replace("-", "_")
    return key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else "HTTP_" + key


def judge(served: Request) -> str:
    """What h11 has against a request that we serve; nothing if it agrees."""
    environ, body, data = served.environ, served.body, served.data
    # RFC 9112, 2.2: an empty line before a request is to be ignored, which h11 does not.
    data = data.removeprefix(b"\r\n")
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(data)
    request, theirs, ended = None, b"", False
    try:
        while not ended:
            event = connection.next_event()
            if isinstance(event, h11.Request):
                request = event
            elif isinstance(event, h11.Data):
                theirs += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                ended = True
            else:
                return f"it expects more: {event}"
    except h11.RemoteProtocolError as error:
        return f"it refuses: {error}"
    assert request is not None
    if connection.trailing_data[0]:
        return f"it ends earlier, before {connection.trailing_data[0]!r}"
    if (request.method.decode(), request.target.decode(), theirs) != (
        environ["REQUEST_METHOD"],
        environ["REQUEST_URI"],
        body,
    ):
        return f"it sees {request.method!r} {request.target!r} {theirs!r}"
    fields: dict[str, str] = {}
    for name, value in request.headers:
        if b"_" in name or name == b"proxy":
            continue
        key, text = key_of(name), value.decode("latin-1")
        fields[key] = (
            text if key not in fields else fields[key] + ("; " if key == "HTTP_COOKIE" else ",") + text
        )
    if environ["REQUEST_URI"][:4].lower() == "http":
        fields["HTTP_HOST"] = environ["REQUEST_URI"].split("/")[2].partition("?")[0]
    ours = {key: value for key, value in environ.items() if key.startswith(("HTTP_", "CONTENT_"))}
    # It writes codings in lower case and drops zeros in front of a length.
    for each in (ours, fields):
        if "HTTP_TRANSFER_ENCODING" in each:
            each["HTTP_TRANSFER_ENCODING"] = each["HTTP_TRANSFER_ENCODING"].lower()
        if "CONTENT_LENGTH" in each:
            each["CONTENT_LENGTH"] = str(int(each["CONTENT_LENGTH"]))
    return "" if ours == fields else f"it sees fields {fields}, we {ours}"


def run_batch(seed: int, number: int, count: int, tally: Counter[str]) -> str:
    """One batch: what went wrong, or nothing."""
    maker = Maker(Random(f"{seed}:{number}"))
    for _ in range(count):
        data = maker.connection()
        served, status, going = serve([data])
        tally["connections"] += 1
        tally["requests served"] += len(served)
        tally[f"refused {status}" if status else "not refused"] += 1
        for request in served:
            complaint = judge(request)
            if complaint:
                return f"we serve what h11 does not: {complaint}\n{request.data!r}\nof {data!r}"
        for pieces in maker.cuts(data):
            other = serve(pieces)
            if other != (served, status, going):
                return f"cut as {pieces!r}:\n{other}\nwhole:\n{(served, status, going)}"
    tally["requests made"] += maker.made
    return ""


def tally_batch(seed: int, number: int) -> tuple[int, str, Counter[str]]:
    """For a process of a pool: the batch's number, what went wrong, what it was."""
    tally: Counter[str] = Counter()
    return number, run_batch(seed, number, BATCH, tally), tally


def run_batches(seed: int, batches: Sequence[int], jobs: int) -> Iterator[tuple[int, str, Counter[str]]]:
    """The results of batches, in their order, from so many processes."""
    if jobs == 1:
        yield from (tally_batch(seed, number) for number in batches)
        return
    with multiprocessing.get_context("fork").Pool(jobs) as pool:
        yield from pool.imap(partial(tally_batch, seed), batches, chunksize=4)


def main(argv: Sequence[str] | None = None) -> int:
    """Run batches; 1 if anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=20_000, help="connections (default: 20000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="batch to begin with: goes on with a run")
    parser.add_argument("--batch", type=int, help="only this one")
    parser.add_argument("--jobs", type=int, default=1, help="processes (default: 1)")
    options = parser.parse_args(argv)
    if options.jobs < 1:
        parser.error(f"--jobs: expected 1 or more, found {options.jobs}")
    faulthandler.enable()
    tally: Counter[str] = Counter()
    began = time.monotonic()
    batches = range(options.first, (options.count + BATCH - 1) // BATCH)
    if options.batch is not None:
        batches = range(options.batch, options.batch + 1)
    for number, wrong, found in run_batches(options.seed, batches, options.jobs):
        tally += found
        if wrong:
            print(f"--seed {options.seed} --batch {number}: {wrong}")
            return 1
        if number % 200 == 199:
            share = f"batch {number} of {batches.stop}"
            print(
                f"{time.monotonic() - began:.0f} s, {share}: {tally['connections']} connections, "
                f"{tally['requests made']} requests made, {tally['requests served']} served",
                flush=True,
            )
    print(f"{time.monotonic() - began:.0f} s: {dict(sorted(tally.items()))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
