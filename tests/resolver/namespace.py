"""Run as a program: the C library and the resolver `dns` side by side, against one name server.

The C library asks the servers of /etc/resolv.conf at port 53 and nothing can be done about that; so this runs
in a network and a mount namespace of its own (unshare -rmn), where that file is one of ours and the port is
free. Every STEP-th question of the table is asked, from the START-th on. Prints what differs without an
excuse, one JSON line each: [function, arguments, what the C library said, what corolib said]; at the end
[questions, names that do not differ at all].
"""

import ctypes
import fcntl
import json
import os
import socket
import struct
import sys
import tempfile
from typing import Any

from resolver import table
from resolver.nameserver import NameServer, Zone

FILES = {
    "/etc/resolv.conf": f"nameserver 127.0.0.1\nsearch {' '.join(table.SEARCH)}\n",
    "/etc/hosts": table.HOSTS,
    "/etc/nsswitch.conf": "hosts: files dns\nservices: files\nprotocols: files\n",
    "/etc/gai.conf": "",
    "/etc/host.conf": "multi on\n",
}
MS_BIND, IFF_UP_RUNNING = 4096, 0x41
SIOCSIFFLAGS, SIOCSIFADDR, SIOCSIFNETMASK = 0x8914, 0x8916, 0x891C


def lay_over(files: dict[str, str]) -> None:
    """For this process and its children: other contents of files that there are."""
    mount = ctypes.CDLL(None, use_errno=True).mount
    for path, text in files.items():
        if not os.path.exists(path):
            continue
        with tempfile.NamedTemporaryFile("w", delete=False) as file:
            file.write(text)
        os.chmod(file.name, 0o644)
        if mount(file.name.encode(), os.path.realpath(path).encode(), None, MS_BIND, None):
            raise OSError(ctypes.get_errno(), f"mount over {path}")


def have_addresses() -> None:
    """Loopback, with an address of each family that is not one of loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as four:
        fcntl.ioctl(four, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP_RUNNING))
        for request, address in ((SIOCSIFADDR, "192.0.2.1"), (SIOCSIFNETMASK, "255.255.255.0")):
            where = struct.pack("HH4s8x", socket.AF_INET, 0, socket.inet_aton(address))
            fcntl.ioctl(four, request, struct.pack("16s16s8x", b"lo:1", where))
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as six:
            index = socket.if_nametoindex("lo")
            fcntl.ioctl(
                six,
                SIOCSIFADDR,
                struct.pack("16sIi", socket.inet_pton(socket.AF_INET6, "2001:db8::1"), 64, index),
            )
    except OSError as error:
        print(f"no IPv6 here: {error}", file=sys.stderr)


def outcome(function: Any, args: tuple[Any, ...]) -> Any:
    """What it returns, or which error it raises."""
    try:
        return json.loads(json.dumps(function(*args)))
    except OSError as error:
        return [type(error).__name__, *error.args]
    except (UnicodeError, TypeError, ValueError, OverflowError) as error:
        return [type(error).__name__]


def main(start: str = "0", step: str = "1") -> None:
    from corolib import config
    from corolib import socket as ours

    lay_over(FILES)
    have_addresses()
    config.resolver = "dns"
    number, alike, differing = 0, set(), set()
    with NameServer(Zone(table.records()), 53):
        for function, args in list(table.questions())[int(start) :: int(step)]:
            theirs = outcome(getattr(socket, function), args)
            mine = outcome(getattr(ours, function), args)
            number += 1
            (alike if theirs == mine else differing).add(args[0])
            if theirs != mine and table.excused(function, args, theirs, mine) is None:
                print(json.dumps([function, repr(args), theirs, mine]), flush=True)
    print(json.dumps([number, len((alike - differing).intersection(table.NAMES))]))


if __name__ == "__main__":
    main(*sys.argv[1:])
