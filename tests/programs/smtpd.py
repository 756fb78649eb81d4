"""The mail server of the tests: aiosmtpd in a process of its own, never patched.

    python smtpd.py CERTIFICATE-AND-KEY

Writes its port on one line and serves until its stdin ends. A message to together-N-KEY@localhost is accepted
when N of them are there, one to slow@localhost after a tenth of a second; VRFY NAME tells how many came for
NAME@localhost, and a checksum.
"""

import asyncio
import ssl
import sys
import zlib
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

#: Seconds after which those who wait for others get an error in place of their answer.
PATIENCE = 30


class Handler:
    def __init__(self) -> None:
        self.boxes: dict[str, list[bytes]] = {}
        self.meetings: dict[str, tuple[int, asyncio.Event]] = {}

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        for address in envelope.rcpt_tos:
            name, _, _ = address.partition("@")
            self.boxes.setdefault(name, []).append(envelope.original_content)
            if name == "slow":
                await asyncio.sleep(0.1)
            if name.startswith("together-"):
                here, everybody = self.meetings.setdefault(name, (0, asyncio.Event()))
                self.meetings[name] = here + 1, everybody
                if here + 1 == int(name.split("-")[1]):
                    everybody.set()
                try:
                    await asyncio.wait_for(everybody.wait(), PATIENCE)
                except TimeoutError:
                    return "451 some did not come"
        return "250 accepted"

    async def handle_VRFY(self, server: SMTP, session: Session, envelope: Envelope, address: str) -> str:
        box = self.boxes.get(address, [])
        return f"252 {len(box)} messages, {zlib.crc32(b''.join(box))}"


def authenticate(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
    right = isinstance(data, LoginPassword) and (data.login, data.password) == (b"ann", b"secret")
    return AuthResult(success=right, handled=False)


async def main() -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(sys.argv[1])
    handler = Handler()
    loop = asyncio.get_running_loop()

    def protocol() -> SMTP:
        options = {"require_starttls": True, "tls_context": context, "authenticator": authenticate}
        return SMTP(handler, loop=loop, hostname="localhost", data_size_limit=10_000_000, **options)

    server = await loop.create_server(protocol, "127.0.0.1", 0, backlog=200)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
