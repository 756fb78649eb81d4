"""The headers of an HTTP message, for http.client and http.server, without the parser of mail.

These give the block of headers to `email.parser`, which is made for anything that mail can be: that takes
half of the time of a request of http.client. Nearly every block is plain (a name, a colon and a value in each
line), and such a block is read with two regular expressions, into what that parser would have made of it. All
others go to that parser, as before.
"""

import email.parser
import re
from http.client import HTTPMessage
from types import ModuleType
from typing import Any

from ._adopt import Overlay

__all__ = ["patch_http"]

#: Lines as they should be: nothing that continues the line before, no carriage return within a value (the
#: parser of mail ends a line there). The empty line at the end may be missing.
_PLAIN = re.compile(r"(?:[!-9;-~]+:[^\r\n]*\r?\n)*(?:\r?\n)?").fullmatch
_FIELDS = re.compile(r"([!-9;-~]+):[ \t]*([^\r\n]*)\r?\n").findall
#: What is said to have parts is searched for them, although there is no body here, and its defects are noted.
_WITH_PARTS = re.compile(r"^content-type:[^\S\r\n]*m", re.IGNORECASE | re.MULTILINE).search


class Parser(email.parser.Parser):
    """Quicker where it is an HTTPMessage of plain lines."""

    def parsestr(self, text: str, headersonly: bool = False) -> Any:
        """The message that this text is."""
        own: Any = self  # the standard library's types know nothing of what its __init__() keeps
        if own._class is not HTTPMessage or not _PLAIN(text) or _WITH_PARTS(text):
            return super().parsestr(text, headersonly)
        message: Any = HTTPMessage(policy=own.policy)
        message._headers = _FIELDS(text)
        message.set_payload("")
        return message


def patch_http(client: ModuleType) -> None:
    """Has http.client (the module that was imported just now) use this parser."""
    if client.HTTPMessage is HTTPMessage and isinstance(getattr(client, "email", None), ModuleType):
        vars(client)["email"] = Overlay(email, parser=Overlay(email.parser, Parser=Parser))
