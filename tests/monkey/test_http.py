"""Headers of HTTP: whatever a peer sends, http.client says of it patched what it says unpatched."""

import email.parser
import http.client
from email.message import Message
from io import BytesIO

import pytest
from helpers import run_isolated
from hypothesis import example, given, settings
from hypothesis import strategies as st

from corolib._patch_http import Parser

#: What lines of headers are made of, and what makes them strange.
PIECES = (
    *("Content-Type", "content-length", "X-Empty", "Set-Cookie", "From ", "a", "\xe9"),
    *(":", ": ", ":\t", " : ", "::"),
    *("text/html", "multipart/mixed; boundary=b", " message/rfc822", "\x0bmultipart/x", "12", "--b", "--b--"),
    *("\r\n", "\r\n", "\n", "\r", "\r\n ", "\r\n\t", "\r\n\r\n"),
    *(" ", "\t", "\x00", "\x0b", "\x0c", "\x1c", "\x85", "\xa0", "\x7f", "\xff"),
)
texts = st.lists(st.sampled_from(PIECES), max_size=24).map("".join)


def shown(message: Message, depth: int = 0) -> object:
    """All that there is to see of a message."""
    payload = message.get_payload()
    return (
        type(message),
        message.items(),
        [(type(each), str(each)) for each in message.defects],
        [shown(part, depth + 1) for part in payload] if isinstance(payload, list) else payload,
        (message.preamble, message.epilogue, message.get_content_type(), message.policy),
    )


@settings(max_examples=1500, deadline=None, derandomize=True, database=None)
@given(texts)
@example("A: b\r\nContent-Type: text/html\r\n\r\n")
@example("Content-Type: multipart/mixed\r\n\r\n")
@example("content-type:\x0bmessage/rfc822\n\n")
@example("A: b\rC: d\r\n\r\n")
@example("A: b")
@example("")
def test_what_is_quick_says_the_same(text: str) -> None:
    for cls in (http.client.HTTPMessage, Message):
        expected = email.parser.Parser(_class=cls).parsestr(text)
        assert shown(Parser(_class=cls).parsestr(text)) == shown(expected)


@pytest.mark.parametrize("late", [False, True])
def test_http_client_and_server_read_headers_with_it(late: bool) -> None:
    script = """
        if {late}:
            import http.client
        from corolib import monkey
        monkey.patch_all()
        import http.client, io, unittest.mock
        from corolib import _patch_http
        with unittest.mock.patch.object(_patch_http.email.parser.Parser, "parsestr") as of_mail:
            found = http.client.parse_headers(io.BytesIO(b"Host: a\\r\\nX: \\xe9 \\r\\n\\r\\nrest"))
            assert found.items() == [("Host", "a"), ("X", "\\xe9 ")] and not of_mail.called
            http.client.parse_headers(io.BytesIO(b"Host: a\\r\\n b\\r\\n\\r\\n"))
            assert of_mail.called
        assert http.client.email.message is __import__("email.message").message
        assert http.client.email.parser.HeaderParser.__module__ == "email.parser"
        print("works")
        """
    assert run_isolated(script.format(late=late), timeout=60).stdout == "works\n"


def test_limits_hold_as_before() -> None:
    for block in (b"A: b\r\n" * 300, b"A: " + b"b" * 70000):
        with pytest.raises(http.client.HTTPException):
            http.client.parse_headers(BytesIO(block))
