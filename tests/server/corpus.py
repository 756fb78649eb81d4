"""Requests as attackers send them, and as clients do, each with what has to become of it.

Written from the standards (RFC 9110, 9112) and from what is on record about servers that were fooled. A case
is bytes, the requests that are served, and the status with which the connection ends: None if it may go on.
What follows a refused request in the same bytes is never served: most cases end with a request for /smuggled
to show it.
"""

from dataclasses import dataclass

#: Fits after any request: what an attacker wants to be taken for one.
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n"


@dataclass(frozen=True)
class Case:
    """One delivery."""

    name: str
    data: bytes
    #: What is served: "METHOD target", and " body" if there is one.
    served: tuple[str, ...]
    #: How it ends: the status of the refusal, None if nothing is refused.
    status: int | None
    #: Why we take what h11 refuses; empty where both agree or we are the stricter one.
    unlike_h11: str = ""


CASES: list[Case] = []


def add(
    name: str,
    data: bytes,
    served: tuple[str, ...] | str = (),
    status: int | None = None,
    unlike_h11: str = "",
) -> None:
    """Note a case."""
    CASES.append(Case(name, data, (served,) if isinstance(served, str) else served, status, unlike_h11))


def show(data: bytes) -> str:
    """Bytes as a part of a test's name."""
    text = data.decode("latin-1").encode("unicode_escape").decode()
    return text if len(text) < 40 else f"{text[:30]}... {len(data)} bytes"


def head(*fields: bytes, line: bytes = b"GET / HTTP/1.1", host: bytes | None = b"Host: a.example") -> bytes:
    """A head of these fields."""
    lines = [line, *([host] if host is not None else []), *fields]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def post(*fields: bytes, body: bytes = b"", line: bytes = b"POST / HTTP/1.1") -> bytes:
    """A request with a body."""
    return head(*fields, line=line) + body


def chunked(body: bytes) -> bytes:
    """A request whose body is these bytes of chunks."""
    return post(b"Transfer-Encoding: chunked", body=body)


# -- what has to work ----------------------------------------------------------------------------------------

add("plain GET", head(), "GET /")
add("two requests", head() + head(line=b"GET /2 HTTP/1.1"), ("GET /", "GET /2"))
add("twenty requests", head() * 20, ("GET /",) * 20)
add("one empty line before", b"\r\n" + head(), "GET /", unlike_h11="RFC 9112, 2.2: to be ignored")
add(
    "an empty line after a body",
    post(b"Content-Length: 2", body=b"ab") + b"\r\n" + head(),
    ("POST / ab", "GET /"),
    unlike_h11="RFC 9112, 2.2: to be ignored",
)
for method in (
    *(
        b"HEAD",
        b"OPTIONS",
        b"DELETE",
        b"PUT",
        b"PATCH",
        b"TRACE",
        b"PROPFIND",
        b"REPORT",
        b"MKCOL",
        b"COPY",
        b"MOVE",
    ),
    *(b"LOCK", b"UNLOCK", b"SEARCH", b"PURGE", b"LINK", b"UNLINK", b"MERGE", b"ACL", b"BIND", b"QUERY"),
):
    add(f"method {method.decode()}", head(line=method + b" / HTTP/1.1"), f"{method.decode()} /")
add("OPTIONS *", head(line=b"OPTIONS * HTTP/1.1"), "OPTIONS *")
add("a query", head(line=b"GET /a?b=c&d=%20 HTTP/1.1"), "GET /a?b=c&d=%20")
add("an empty query", head(line=b"GET /? HTTP/1.1"), "GET /?")
add("a question mark in the query", head(line=b"GET /?a?b HTTP/1.1"), "GET /?a?b")
add("two slashes", head(line=b"GET //evil.example/ HTTP/1.1"), "GET //evil.example/")
add("dots", head(line=b"GET /../../etc/passwd HTTP/1.1"), "GET /../../etc/passwd")
add("characters browsers leave", head(line=b'GET /|"{}^`\\<> HTTP/1.1'), 'GET /|"{}^`\\<>')
add("an encoded line end", head(line=b"GET /%0d%0aX:y HTTP/1.1"), "GET /%0d%0aX:y")
add("an incomplete escape", head(line=b"GET /%4 HTTP/1.1"), "GET /%4")
add("a target of 8190 bytes", head(line=b"GET /" + b"a" * 8189 + b" HTTP/1.1"), "GET /" + "a" * 8189)
for scheme in (b"http", b"HTTP", b"https"):
    url = scheme + b"://b.example:81/p?q"
    add(f"absolute form {scheme.decode()}", head(line=b"GET " + url + b" HTTP/1.1"), "GET " + url.decode())
add("absolute form without path", head(line=b"GET http://b.example HTTP/1.1"), "GET http://b.example")
add("absolute form, query only", head(line=b"GET http://b.example?q HTTP/1.1"), "GET http://b.example?q")
for host in (
    *(
        b"a",
        b"b.example",
        b"a.example:80",
        b"a.example:",
        b"127.0.0.1",
        b"127.0.0.1:8080",
        b"[::1]",
        b"[::1]:80",
    ),
    *(
        b"A.EXAMPLE",
        b"xn--bcher-kva.example",
        b"a-b_c.example",
        b"a.example:65535",
        b"[::ffff:1.2.3.4]",
        b"a.",
    ),
):
    add(f"Host {host.decode()}", head(host=b"Host: " + host), "GET /")
add("no space after the colon", head(b"X:y"), "GET /")
add("spaces and tabs around a value", head(b"X: \t y\t "), "GET /")
add("an empty value", head(b"X:"), "GET /")
add("a name of all characters", head(b"!#$%&'*+-.^`|~09azAZ: y"), "GET /")
add("bytes beyond ASCII in a value", head(b"X: \xc3\xa9\xff"), "GET /")
add("a tab in a value", head(b"X: a\tb"), "GET /")
add("a field of 8000 bytes", head(b"X: " + b"y" * 8000), "GET /")
add("100 fields", head(*[b"X%d: y" % i for i in range(99)]), "GET /")
add(
    "a field of every byte that can be",
    head(b"X: " + bytes(range(0x21, 0x7F)) + bytes(range(0x80, 0x100))),
    "GET /",
)
add("repeated fields", head(b"Accept: a", b"Accept: b", b"Cookie: a=b", b"Cookie: c=d"), "GET /")
add("repeated fields of one letter", head(b"X: a", b"X: a"), "GET /")
add("Content-Length 0", post(b"Content-Length: 0"), "POST /")
add("Content-Length with zeros", post(b"Content-Length: 005", body=b"hello"), "POST / hello")
add("POST without a length", post() + head(), ("POST /", "GET /"))
add("a body", post(b"Content-Length: 5", body=b"hello"), "POST / hello")
add("a body on GET", head(b"Content-Length: 5") + b"hello" + head(), ("GET / hello", "GET /"))
add(
    "a body like a request",
    post(b"Content-Length: %d" % len(SMUGGLED), body=SMUGGLED) + head(),
    ("POST / " + SMUGGLED.decode(), "GET /"),
)
add("a name in another case", post(b"cOnTeNt-LeNgTh: 2", body=b"ab") + head(), ("POST / ab", "GET /"))
add("chunks", chunked(b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n") + head(), ("POST / hello world", "GET /"))
add("no chunk but the last", chunked(b"0\r\n\r\n") + head(), ("POST /", "GET /"))
add("a chunk with zeros in its size", chunked(b"0005\r\nhello\r\n000\r\n\r\n"), "POST / hello")
add("a size in capitals", chunked(b"A\r\n0123456789\r\n0\r\n\r\n"), "POST / 0123456789")
add("line ends in a chunk", chunked(b"6\r\n\r\n0\r\n\r\r\n0\r\n\r\n"), "POST / \r\n0\r\n\r")
add("an extension", chunked(b"5;a=b\r\nhello\r\n0;c\r\n\r\n"), "POST / hello")
add("a quoted extension", chunked(b'5;a="b c"\r\nhello\r\n0\r\n\r\n'), "POST / hello")
add("trailers", chunked(b"5\r\nhello\r\n0\r\nX: y\r\nZ: z\r\n\r\n") + head(), ("POST / hello", "GET /"))
add(
    "Chunked in another case",
    post(b"Transfer-Encoding: Chunked", body=b"1\r\na\r\n0\r\n\r\n") + head(),
    ("POST / a", "GET /"),
)
add("HTTP/1.0", head(line=b"GET / HTTP/1.0", host=None) + SMUGGLED, "GET /")
add("HTTP/1.0 with Host", head(line=b"GET / HTTP/1.0") + SMUGGLED, "GET /")
add(
    "HTTP/1.0 that stays",
    head(b"Connection: keep-alive", line=b"GET / HTTP/1.0") + head(line=b"GET /2 HTTP/1.0"),
    ("GET /", "GET /2"),
    unlike_h11="it closes after every request of 1.0",
)
add("HTTP/1.0 with a body", post(b"Content-Length: 2", body=b"ab", line=b"POST / HTTP/1.0"), "POST / ab")
add("Connection: close", head(b"Connection: close") + SMUGGLED, "GET /")
add("Connection with close in it", head(b"Connection: x, Close ,y") + SMUGGLED, "GET /")
add("Connection: close twice", head(b"Connection: x", b"Connection: close") + SMUGGLED, "GET /")
add("close and keep-alive", head(b"Connection: close, keep-alive") + SMUGGLED, "GET /")
add("Expect", post(b"Content-Length: 2", b"Expect: 100-continue", body=b"ab"), "POST / ab")
add("Expect in capitals", post(b"Content-Length: 2", b"Expect: 100-Continue", body=b"ab"), "POST / ab")
add(
    "an upgrade that is not answered",
    head(b"Connection: upgrade", b"Upgrade: websocket") + head(),
    ("GET /", "GET /"),
)
add(
    "an upgrade to h2c",
    head(b"Connection: upgrade", b"Upgrade: h2c", b"HTTP2-Settings: AAA") + head(),
    ("GET /",) * 2,
)
add("Upgrade without Connection", head(b"Upgrade: x") + head(), ("GET /", "GET /"))
add(
    "Upgrade without Connection, with a body",
    post(b"Upgrade: x", b"Content-Length: 2", body=b"ab") + head(),
    ("POST / ab", "GET /"),
)
add(
    "an upgrade with Content-Length 0",
    head(b"Connection: upgrade", b"Upgrade: x", b"Content-Length: 0") + head(),
    ("GET /",) * 2,
)
for name in (b"Content_Length: 5", b"Transfer_Encoding: chunked", b"Host_: x", b"Proxy: http://evil.example"):
    add(f"dropped: {name.decode()}", head(name) + head(), ("GET /", "GET /"))
for name in (
    b"X-Forwarded-For: 1.2.3.4",
    b"X-Forwarded-Host: evil",
    b"Forwarded: for=1.2.3.4",
    b"Remote-User: root",
):
    add(f"not believed: {name.decode()}", head(name), "GET /")

# -- request lines -------------------------------------------------------------------------------------------

for line in (
    *(
        b"GET / HTTP/2.0",
        b"GET / HTTP/0.9",
        b"GET / HTTP/1.2",
        b"GET / HTTP/3.0",
        b"GET / HTTP/9.9",
        b"PRI * HTTP/2.0",
    ),
):
    add(f"version: {show(line)}", head(line=line) + SMUGGLED, (), 505)
for line in (
    *(
        b"GET /",
        b"GET",
        b"GET  HTTP/1.1",
        b"GET  / HTTP/1.1",
        b"GET /  HTTP/1.1",
        b" GET / HTTP/1.1",
        b"GET / HTTP/1.1 ",
    ),
    *(
        b"GET / http/1.1",
        b"GET / HTTP/1.",
        b"GET / HTTP/1",
        b"GET / HTTP/11",
        b"GET / HTTP/1.10",
        b"GET / HTTP/01.1",
    ),
    *(
        b"GET / HTTP/1.1 x",
        b"GET / x HTTP/1.1",
        b"GET\t/\tHTTP/1.1",
        b"GET\t/ HTTP/1.1",
        b"GET / HTTP/1,1",
        b"GET / HTTPS/1.1",
    ),
    *(
        b"GET / RTSP/1.0",
        b"GET / HTTP /1.1",
        b"GET / HTTP/1.1\x00",
        b"GET /\x00 HTTP/1.1",
        b"G\x00ET / HTTP/1.1",
    ),
    *(
        b"GET /\x7f HTTP/1.1",
        b"GET /\x0b HTTP/1.1",
        b"GET /\xa0 HTTP/1.1",
        b"GET /\xc3\xa9 HTTP/1.1",
        b"GET\x0b/ HTTP/1.1",
    ),
    *(
        b"GET x HTTP/1.1",
        b"GET ? HTTP/1.1",
        b"GET * HTTP/1.1",
        b"GET /#f HTTP/1.1",
        b"GET # HTTP/1.1",
        b"GET .. HTTP/1.1",
    ),
    *(
        b"GET a.example:80 HTTP/1.1",
        b"GET ftp://a.example/ HTTP/1.1",
        b"GET http:/// HTTP/1.1",
        b"GET http:// HTTP/1.1",
    ),
    *(b"GET http:/a HTTP/1.1", b"GET http://u@a.example/ HTTP/1.1", b"GET http://u:p@a.example/ HTTP/1.1"),
    *(
        b"GET http://a.example:x/ HTTP/1.1",
        b"GET http://a.example:99999/ HTTP/1.1",
        b"GET http://[::1/ HTTP/1.1",
    ),
    *(
        b"GET http://a\\b/ HTTP/1.1",
        b"GET http://?q HTTP/1.1",
        b"GET http://:80/ HTTP/1.1",
        b"GET \\ HTTP/1.1",
    ),
    *(
        b"GET http://a.example#f HTTP/1.1",
        b"GET javascript:x HTTP/1.1",
        b"OPTIONS *x HTTP/1.1",
        b"OPTIONS ** HTTP/1.1",
    ),
    *(
        b"G(T / HTTP/1.1",
        b'"GET" / HTTP/1.1',
        b"GET: / HTTP/1.1",
        b"G\xc3T / HTTP/1.1",
        b"\xef\xbb\xbfGET / HTTP/1.1",
    ),
):
    add(f"line: {show(line)}", head(line=line) + SMUGGLED, (), 400)
for method in (
    *(
        b"CONNECT",
        b"SOURCE",
        b"DESCRIBE",
        b"ANNOUNCE",
        b"SETUP",
        b"PLAY",
        b"PAUSE",
        b"TEARDOWN",
        b"RECORD",
        b"FLUSH",
    ),
    *(b"get", b"Get", b"GETT", b"GE", b"G", b"FOO", b"GET/", b"A" * 24, b"A" * 300),
):
    status = 400 if b"/" in method else 501
    add(f"method: {show(method)}", head(line=method + b" / HTTP/1.1") + SMUGGLED, (), status)
add("CONNECT as it is", head(line=b"CONNECT a.example:443 HTTP/1.1") + SMUGGLED, (), 501)
add("a target of 8191 bytes", head(line=b"GET /" + b"a" * 8190 + b" HTTP/1.1") + SMUGGLED, (), 414)
add("a target of 64 kB", head(line=b"GET /" + b"a" * 65536 + b" HTTP/1.1") + SMUGGLED, (), 414)
add("no end of the first line", b"GET /" + b"a" * 100_000, (), 414)
add("no method in 100 kB", b"A" * 100_000, (), 501)
add("a TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200), (), 400)
add("a TLS hello's first byte", b"\x16", (), 400)
add("zeros", bytes(100), (), 400)
add("SSH", b"SSH-2.0-OpenSSH_9.2\r\n", (), 400)
add("a PROXY line", b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n" + head(), (), 400)
add("HTTP/2's beginning", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", (), 505)
add("an answer", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", (), 400)
add("HTTP/0.9", b"GET /\r\n", (), 400)
add("HTTP/0.9 and a request", b"GET /\r\n" + SMUGGLED, (), 400)
for before in (b"\r\n\r\n", b"\r\n" * 1000, b"\n", b"\r", b" \r\n", b"\r\r\n", b"\n\n", b"\t"):
    add(f"before it: {show(before)}", before + head(), (), 400)
add("two empty lines between", head() + b"\r\n\r\n" + SMUGGLED, "GET /", 400)

# -- line ends -----------------------------------------------------------------------------------------------

for end in (
    b"\n",
    b"\r",
    b"\r\r\n",
    b"\n\r",
    b"\n\n",
    b"\r\r",
    b"\x0b",
    b"\x0c",
    b"\x85",
    b"\x00",
    b"\xe2\x80\xa8",
    b"\r\x00\n",
):
    for place, data in {
        "the first line": b"GET / HTTP/1.1" + end + b"Host: a.example\r\n\r\n",
        "a field": b"GET / HTTP/1.1\r\nHost: a.example" + end + b"X: y\r\n\r\n",
        "all lines": b"GET / HTTP/1.1" + end + b"Host: a.example" + end + end,
    }.items():
        # A "\x85" or "\u2028" in a value is no line end but a part of the value: of Host that is wrong, too.
        ended = end in (b"\x0b", b"\x0c", b"\x85", b"\x00", b"\xe2\x80\xa8") and place == "all lines"
        if not ended:  # such bytes have no line end at all: nothing to tell yet
            add(f"{place} ends with {show(end)}", data + SMUGGLED, (), 400)
add("the head ends with LF", b"GET / HTTP/1.1\r\nHost: a.example\r\n\n" + SMUGGLED, (), 400)
add("the head ends with CR", b"GET / HTTP/1.1\r\nHost: a.example\r\n\r" + SMUGGLED, (), 400)
add("LF CR LF", b"GET / HTTP/1.1\r\nHost: a.example\n\r\n" + SMUGGLED, (), 400)

# -- fields --------------------------------------------------------------------------------------------------

for field in (
    *(
        b"X : y",
        b"X\t: y",
        b" X: y",
        b"\tX: y",
        b"X",
        b"X y",
        b": y",
        b":",
        b"X\x00: y",
        b"X\x7f: y",
        b"(X): y",
        b"X\xa0: y",
    ),
    *(
        b"X: a\x00b",
        b"X: a\x01b",
        b"X: a\x0bb",
        b"X: a\x1bb",
        b"X: a\x7fb",
        b"X: a\x08",
        b"X: \x0c",
        b"\xc3\xa9: y",
        b"X/Y: z",
    ),
    *(
        b"X@Y: z",
        b"X=Y: z",
        b"X[]: z",
        b"{X}: y",
        b'"X": y',
        b"X,Y: z",
        b"X;: y",
        b"X\\: y",
        b"X?: y",
        b"\x00: y",
        b"X\rY: z",
    ),
    *(b"X: a\rb", b"X: a\r b", b"X: y\r\n z", b"X: y\r\n\tz", b"X: y\r\n : z", b"X:\r\n y", b"\r: y"),
):
    add(f"field: {show(field)}", head(field) + SMUGGLED, (), 400)
add("a first field that is folded", head(b" folded: x", host=None) + SMUGGLED, (), 400)
add("a first line that goes on", b"GET / HTTP/1.1\r\n Host: a.example\r\n\r\n" + SMUGGLED, (), 400)
add("101 fields", head(*[b"X%d: y" % i for i in range(100)]) + SMUGGLED, (), 431)
add("20,000 fields", head(*[b"X: y"] * 20_000) + SMUGGLED, (), 431)
add("a field of 64 kB", head(b"X: " + b"y" * 65536) + SMUGGLED, (), 431)
add("a name of 64 kB", head(b"X" * 65536 + b": y") + SMUGGLED, (), 431)
add("fields of 64 kB together", head(*[b"X: " + b"y" * 1000] * 64) + SMUGGLED, (), 431)
add("2 MB without a line end", b"GET / HTTP/1.1\r\nHost: a.example\r\nX: " + b"y" * (1 << 21), (), 431)

# -- Host ----------------------------------------------------------------------------------------------------

add("no Host", head(host=None) + SMUGGLED, (), 400)
add("no Host, absolute form", head(line=b"GET http://a.example/ HTTP/1.1", host=None) + SMUGGLED, (), 400)
add("two Hosts", head(b"Host: b.example") + SMUGGLED, (), 400)
add("the same Host twice", head(b"Host: a.example") + SMUGGLED, (), 400)
add("two Hosts in other cases", head(b"HOST: a.example") + SMUGGLED, (), 400)
add("two Hosts on 1.0", head(b"Host: b.example", line=b"GET / HTTP/1.0") + SMUGGLED, (), 400)
for host in (
    *(
        b"",
        b" ",
        b"a b",
        b"a,b",
        b"a/b",
        b"a.example/",
        b"http://a.example",
        b"u@a.example",
        b"u:p@a.example",
        b"a?b",
        b"a#b",
    ),
    *(
        b"a:b",
        b"a:80:80",
        b"a:-1",
        b"a:+80",
        b"a: 80",
        b"a:65536",
        b"a:999999",
        b"a:0x50",
        b":80",
        b"[::1",
        b"::1",
        b"[::1]x",
    ),
    *(
        b"[::1]:x",
        b"[]",
        b"[]:80",
        b"[1.2.3.4]",
        b"[::1%eth0]",
        b"[g::1]",
        b"[::1]]",
        b"a\\b",
        b'"a"',
        b"a'b",
        b"a;b",
        b"a%00b",
    ),
    *(
        b"a<b>",
        b"a\tb",
        b"\xc3\xa9.example",
        b"a\xa0",
        b"a|b",
        b"a^b",
        b"[v1.x]",
        b"a(b)",
        b"*",
        b"a=b",
        b"a&b",
        b"${a}",
        b"a:80 b",
    ),
):
    add(f"Host: {show(host)}", head(host=b"Host: " + host) + SMUGGLED, (), 400)

# -- Content-Length ------------------------------------------------------------------------------------------

for length in (
    *(
        b"+5",
        b"-5",
        b"-0",
        b"5_0",
        b"0x5",
        b"5.0",
        b"5e0",
        b"5 5",
        b"5,5",
        b"5, 5",
        b"5;",
        b"five",
        b"",
        b" ",
        b"\xa05",
        b"5\xa0",
    ),
    *(
        b"\x0b5",
        b"5\x0b",
        b"5\x0c",
        b"\xd9\xa5",
        b"5L",
        b"05h",
        b"5\x00",
        b'"5"',
        b"5\t5",
        b"0b101",
        b"1,5",
        b"5/5",
        b"^5",
    ),
):
    add(
        f"Content-Length: {show(length)}",
        post(b"Content-Length: " + length, body=b"hello") + SMUGGLED,
        (),
        400,
    )
for length in (b"9223372036854775808", b"4611686018427387904", b"104857601", b"0" * 19 + b"5"):
    add(
        f"Content-Length: {show(length)}",
        post(b"Content-Length: " + length, body=b"hello") + SMUGGLED,
        (),
        413,
    )
for length in (
    b"99999999999999999999",
    b"18446744073709551621",
    b"1" * 10_000,
):  # more than 64 bits: no number at all
    add(
        f"Content-Length: {show(length)}",
        post(b"Content-Length: " + length, body=b"hello") + SMUGGLED,
        (),
        400,
    )
for first, second in ((b"5", b"5"), (b"5", b"6"), (b"6", b"5"), (b"0", b"5"), (b"5", b"x")):
    fields = (b"Content-Length: " + first, b"Content-Length: " + second)
    add(f"lengths {show(first)} and {show(second)}", post(*fields, body=b"hello") + SMUGGLED, (), 400)
add(
    "lengths in other cases",
    post(b"Content-Length: 5", b"content-length: 6", body=b"hello") + SMUGGLED,
    (),
    400,
)
for field in (
    b"Content-Length : 5",
    b" Content-Length: 5",
    b"Content-Length\x00: 5",
    b"Content-Length\t: 5",
    b"Content-Length\r: 5",
):
    add(f"field: {show(field)}", post(field, body=b"hello") + SMUGGLED, (), 400)

# -- Transfer-Encoding ---------------------------------------------------------------------------------------

BODY = b"5\r\nhello\r\n0\r\n\r\n"
for coding in (
    *(
        b"identity",
        b"gzip",
        b"deflate",
        b"compress",
        b"gzip, chunked",
        b"chunked, gzip",
        b"chunked, chunked",
        b"chunked,",
    ),
    *(
        b", chunked",
        b"chunked;q=1",
        b"chunked ;",
        b"xchunked",
        b"chunkedx",
        b"chunk",
        b"",
        b"identity, chunked",
        b'"chunked"',
    ),
    *(
        b"\x0bchunked",
        b"chunked\x0b",
        b"chunked\x00",
        b"\xa0chunked",
        b"chunked\xa0",
        b"\x0cchunked",
        b"chunked\x85",
        b"chun\tked",
    ),
    *(
        b"cow",
        b"trailers",
        b"chunked\rx",
        b"chunked identity",
        b"x\r\n chunked",
        b"\r\n chunked",
        b"chunked\r\n ",
        b"chu\xe2\x84\xaaed",
    ),
):
    field = b"Transfer-Encoding: " + coding
    add(f"Transfer-Encoding: {show(coding)}", post(field, body=BODY) + SMUGGLED, (), 400)
    both = post(b"Content-Length: 5", field, body=BODY) + SMUGGLED
    add(f"a length and Transfer-Encoding: {show(coding)}", both, (), 400)
for fields in (
    (b"Content-Length: 15", b"Transfer-Encoding: chunked"),
    (b"Transfer-Encoding: chunked", b"Content-Length: 15"),
    (b"Content-Length: 0", b"Transfer-Encoding: chunked"),
    (b"Transfer-Encoding: chunked", b"Content-Length: 0"),
    (b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
    (b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity"),
    (b"Transfer-Encoding: identity", b"Transfer-Encoding: chunked"),
    (b"Transfer-Encoding: x", b"transfer-encoding: chunked"),
    (b"Transfer-Encoding : chunked",),
    (b"Transfer-Encoding\t: chunked",),
    (b" Transfer-Encoding: chunked",),
    (b"\x00Transfer-Encoding: chunked",),
    (b"Content-Length: 15", b"Transfer-Encoding : chunked"),
    (b"X: y\nTransfer-Encoding: chunked",),
    (b"X: y\rTransfer-Encoding: chunked",),
    (b"Transfer-Encoding:\r\n chunked",),
    (b"Transfer-Encoding\r\n: chunked",),
):
    add(f"fields: {show(b' | '.join(fields))}", post(*fields, body=BODY) + SMUGGLED, (), 400)
line10 = b"POST / HTTP/1.0"
add("chunked on 1.0", post(b"Transfer-Encoding: chunked", body=BODY, line=line10) + SMUGGLED, (), 400)
fields10 = (b"Transfer-Encoding: chunked", b"Connection: keep-alive")
add("chunked on 1.0 that stays", post(*fields10, body=BODY, line=line10) + SMUGGLED, (), 400)
add(
    "chunked and length on 1.0",
    post(*fields10, b"Content-Length: 3", body=BODY, line=line10) + SMUGGLED,
    (),
    400,
)

# -- chunks --------------------------------------------------------------------------------------------------

for size in (
    *(
        b"",
        b"x",
        b"0x5",
        b"+5",
        b"-5",
        b"5_",
        b"_5",
        b" 5",
        b"5 ",
        b"\t5",
        b"5\t",
        b"5 ;a",
        b"5.",
        b"5h",
        b"g",
        b"\x005",
        b"5\x00",
    ),
    *(
        b"1" * 16,
        b"f" * 17,
        b"0" * 20 + b"5",
        b"ffffffffffffffff",
        b"10000000000000005",
        b"5;a\nb",
        b"5;a\rb",
        b"5;a\x00",
        b"5;\x7f",
    ),
    *(b"5\n", b"5\r", b"5\r\r", b"5,5", b"5\x0b", b"\xb2", b"5;" + b"a" * 100_000, b"-0", b"--5", b"5\xa0"),
):
    data = chunked(size + b"\r\nhello\r\n0\r\n\r\n") + SMUGGLED
    add(f"size: {show(size)}", data, (), 400)
for body in (
    *(
        b"5\r\nhello0\r\n\r\n",
        b"5\r\nhello\n0\r\n\r\n",
        b"5\r\nhello\r0\r\n\r\n",
        b"5\r\nhelloXX0\r\n\r\n",
        b"5\r\nhello!\r\n0\r\n\r\n",
    ),
    *(
        b"5\r\nhell\r\n0\r\n\r\n",
        b"5\nhello\r\n0\r\n\r\n",
        b"5\nhello\n0\n\n",
        b"5\r\nhello\r\n0\n\r\n",
        b"5\r\nhello\r\n0\r\n\n",
    ),
    *(
        b"5\r\nhello\r\n\r\n",
        b"5\r\nhello\r\n\r\n0\r\n\r\n",
        b"5\r\nhello\r\n0\r\n\r",
        b"5\rhello\r\n0\r\n\r\n",
        b"5\r\n\r\nhello0\r\n\r\n",
    ),
    *(
        b"0\r\nX\r\n\r\n",
        b"0\r\nX : y\r\n\r\n",
        b"0\r\n: y\r\n\r\n",
        b"0\r\n X: y\r\n\r\n",
        b"0\r\nX: y\n\r\n",
        b"0\r\nX: y\r\n z\r\n\r\n",
    ),
    *(
        b"0\r\nX: \x00\r\n\r\n",
        b"0\r\nX: y\r\n\n",
        b"0\r\nContent-Length: 5\r\n\r\n",
        b"0\r\nTransfer-Encoding: chunked\r\n\r\n",
    ),
    *(
        b"0\r\nHost: b.example\r\n\r\n",
        b"0\r\nX\x00: y\r\n\r\n",
        b"0\r\nGET / HTTP/1.1\r\n\r\n",
        b"0\r\nX: y\rZ: z\r\n\r\n",
    ),
):
    add(f"chunks: {show(body)}", chunked(body) + SMUGGLED, (), 400)
add("extensions of 100 kB together", chunked((b"1;" + b"a" * 1000 + b"\r\nx\r\n") * 100), (), 400)
add("101 trailers", chunked(b"0\r\n" + b"X: y\r\n" * 101 + b"\r\n") + SMUGGLED, (), 431)
add(
    "trailers of 64 kB",
    chunked(b"0\r\n" + (b"X: " + b"y" * 1000 + b"\r\n") * 64 + b"\r\n") + SMUGGLED,
    (),
    431,
)
add("a trailer without end", chunked(b"0\r\nX: " + b"y" * 100_000), (), 400)
add("a chunk above the limit", chunked(b"6400001\r\n" + b"x" * 100), (), 413)

# -- expectations and upgrades -------------------------------------------------------------------------------

for expect in (b"200-ok", b"100-continue, x", b"x", b"", b"100-continue;q"):
    data = post(b"Content-Length: 2", b"Expect: " + expect, body=b"ab") + SMUGGLED
    add(f"Expect: {show(expect)}", data, (), 417)
up = (b"Connection: upgrade", b"Upgrade: websocket")
add("an upgrade with a body", head(*up, b"Content-Length: 5") + b"hello" + SMUGGLED, (), 400)
add("an upgrade in chunks", head(*up, b"Transfer-Encoding: chunked") + BODY + SMUGGLED, (), 400)
add(
    "an upgrade with both",
    head(*up, b"Transfer-Encoding: chunked", b"Content-Length: 5") + BODY + SMUGGLED,
    (),
    400,
)
