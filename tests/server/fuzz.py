"""Fuzzes the reader of requests with a grammar, and judges it by h11: tests/server/fuzz.py --count 1000000

Connections are made of pieces that are right, nearly right, and wrong, and are then cut, doubled and
overwritten. For each: one result however the bytes are cut; whatever is served is, for h11, exactly one
request with the same method, target, fields and body, in exactly those bytes. Anything else ends the run with
the batch to repeat.

Batches are numbered, and each has a random generator of its own: --seed and --batch give one again.
"""

import argparse
import faulthandler
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random

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
ENDS = (b"\r\n",)
ODD_ENDS = (b"\n", b"\r", b"\r\r\n", b"\n\r", b"", b"\r\n\r\n", b"\r\n ", b"\x00\r\n", b" \r\n", b"\x0b\r\n")
DATA = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n0\r\n\r\n5\r\nabcde\r\nTransfer-Encoding: chunked\r\n\r\n"


class Maker:
    """Makes the bytes of connections. `oddness` is how likely each piece is a wrong one."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.oddness = 0.0

    def pick(self, right: Sequence[bytes], wrong: Sequence[bytes]) -> bytes:
        """One of the pieces."""
        return self.rng.choice(wrong if self.rng.random() < self.oddness else right)

    def end(self) -> bytes:
        return self.pick(ENDS, ODD_ENDS)

    def field(self, name: bytes, value: bytes) -> bytes:
        blank = self.rng.choice((b" ", b" ", b" ", b"", b"\t", b"  "))
        return name + b":" + blank + value + self.rng.choice((b"", b"", b"", b" ", b"\t ")) + self.end()

    def data(self, length: int) -> bytes:
        start = self.rng.randrange(len(DATA))
        return (DATA[start:] + DATA * (length // len(DATA) + 1))[:length]

    def chunks(self) -> bytes:
        """A body in chunks."""
        out = []
        for _ in range(self.rng.randrange(4)):
            length = self.rng.choice((1, 2, 5, 10, 17, 100))
            size = self.pick(SIZES, ODD_SIZES)
            said = length if self.rng.random() >= self.oddness else length + self.rng.choice((-1, 1, 2))
            out.append((size % said if b"%" in size else size) + self.end() + self.data(length) + self.end())
        out.append(self.pick((b"0", b"00", b"0;a"), (b"", b"0 ", b"-0", b"0\x00", b"x")) + self.end())
        for _ in range(self.rng.choice((0, 0, 0, 1, 2))):
            out.append(
                self.field(
                    self.pick(NAMES, (*ODD_NAMES, b"Content-Length", b"Host")), self.pick(VALUES, ODD_VALUES)
                )
            )
        out.append(self.end())
        return b"".join(out)

    def request(self) -> bytes:
        rng = self.rng
        out = [
            self.pick(METHODS, ODD_METHODS) + self.pick((b" ",), (b"  ", b"\t", b"", b" \x00")),
            self.pick(TARGETS, ODD_TARGETS) + self.pick((b" ",), (b"  ", b"\t", b"")),
            self.pick(VERSIONS, ODD_VERSIONS) + self.end(),
        ]
        fields = [self.field(b"Host", self.pick(HOSTS, ODD_HOSTS))] if rng.random() >= self.oddness else []
        for _ in range(rng.choice((0, 0, 1, 1, 2, 3, 5))):
            fields.append(self.field(self.pick(NAMES, ODD_NAMES), self.pick(VALUES, ODD_VALUES)))
        body = b""
        kind = rng.random()
        if kind < 0.3:
            length = self.pick(LENGTHS, ODD_LENGTHS)
            fields.append(self.field(rng.choice((b"Content-Length", b"content-length")), length))
            body = self.data(int(length) if length.isdigit() and len(length) < 5 else rng.randrange(20))
        elif kind < 0.6:
            fields.append(self.field(b"Transfer-Encoding", self.pick(CODINGS, ODD_CODINGS)))
            body = self.chunks()
        if rng.random() < self.oddness:
            fields.append(
                rng.choice(fields) if fields and rng.random() < 0.5 else self.field(b"Content-Length", b"5")
            )
        if rng.random() < self.oddness / 2:
            fields.append(self.field(b"Transfer-Encoding", self.pick(CODINGS, ODD_CODINGS)))
        if rng.random() < 0.05:
            fields.append(self.field(b"Expect", self.pick((b"100-continue",), (b"x", b""))))
        if rng.random() < 0.05:
            fields += [
                self.field(b"Connection", b"upgrade"),
                self.field(b"Upgrade", self.pick((b"x",), (b"",))),
            ]
        rng.shuffle(fields)
        return b"".join([*out, *fields, self.end(), body])

    def connection(self) -> bytes:
        """Some requests, possibly damaged."""
        rng = self.rng
        self.oddness = rng.choice((0.0, 0.0, 0.02, 0.05, 0.1, 0.3))
        data = b"".join(
            rng.choice((b"", b"", b"", b"", b"\r\n")) + self.request()
            for _ in range(rng.choice((1, 1, 2, 3)))
        )
        if rng.random() < 0.3:
            damaged = bytearray(data)
            for _ in range(rng.choice((1, 1, 2, 4))):
                at = rng.randrange(len(damaged) + 1)
                match rng.randrange(5):
                    case 0:
                        damaged[at : at + 1] = bytes([rng.choice(b"\r\n\t \x00:;,0159afAF_\x7f\xff\x0b%-+")])
                    case 1:
                        del damaged[at : at + rng.choice((1, 1, 2, 5))]
                    case 2:
                        damaged[at:at] = bytes([rng.choice(b"\r\n\t \x00:;,0159afAF_\x7f\xff\x0b%-+")])
                    case 3:
                        damaged[at:at] = damaged[at : at + rng.randrange(40)]
                    case _:
                        del damaged[at:]
            data = bytes(damaged)
        return data


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


def cuts(rng: Random, data: bytes) -> list[list[bytes]]:
    """Ways to deliver it: by bytes at times, always in a few pieces."""
    ways = []
    if rng.random() < 0.1:
        ways.append([data[i : i + 1] for i in range(len(data))])
    places = sorted(rng.randrange(len(data) + 1) for _ in range(rng.choice((1, 2, 5))))
    edges = [0, *places, len(data)]
    ways.append([data[a:b] for a, b in zip(edges, edges[1:], strict=False)])  # noqa: RUF007 - pairs
    return ways


def run_batch(seed: int, number: int, count: int, tally: Counter[str]) -> str:
    """One batch: what went wrong, or nothing."""
    rng = Random(f"{seed}:{number}")
    maker = Maker(rng)
    for _ in range(count):
        data = maker.connection()
        served, status, going = serve([data])
        tally["connections"] += 1
        tally["requests"] += len(served)
        tally[f"refused {status}" if status else "not refused"] += 1
        for request in served:
            complaint = judge(request)
            if complaint:
                return f"we serve what h11 does not: {complaint}\n{request.data!r}\nof {data!r}"
        for pieces in cuts(rng, data):
            other = serve(pieces)
            if other != (served, status, going):
                return f"cut as {pieces!r}:\n{other}\nwhole:\n{(served, status, going)}"
    return ""


def main(argv: Sequence[str] | None = None) -> int:
    """Run batches; 1 if anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=20_000, help="connections (default: 20000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch", type=int, help="only this one")
    options = parser.parse_args(argv)
    faulthandler.enable()
    tally: Counter[str] = Counter()
    began = time.monotonic()
    batches = [options.batch] if options.batch is not None else range((options.count + BATCH - 1) // BATCH)
    for number in batches:
        wrong = run_batch(options.seed, number, BATCH, tally)
        if wrong:
            print(f"--seed {options.seed} --batch {number}: {wrong}")
            return 1
        if number % 200 == 199:
            print(f"{tally['connections']} connections, {tally['requests']} requests served", flush=True)
    print(f"{time.monotonic() - began:.0f} s: {dict(sorted(tally.items()))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
