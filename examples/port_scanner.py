"""Which ports of this machine are open? All are tried at once, in one thread.

    python examples/port_scanner.py [--ports 1-1024] [--jobs 500] [127.0.0.1]

Only addresses of loopback are taken: to scan the machines of others is not for an example. Ctrl-C: what was
found so far is told.
"""

import argparse
import ipaddress
import sys

import corolib
from corolib import socket
from corolib.pool import Pool


def is_open(host: str, port: int, timeout: float) -> bool:
    try:
        socket.create_connection((host, port), timeout).close()
    except (ConnectionRefusedError, TimeoutError):
        return False
    return True


def loopback(text: str) -> str:
    try:
        address = ipaddress.ip_address(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error))
    if not address.is_loopback:
        raise argparse.ArgumentTypeError(f"{text} is not an address of loopback")
    return text


def ports(text: str) -> range:
    first, dash, last = text.partition("-")
    if first.isdecimal() and (last.isdecimal() if dash else not last):
        found = range(int(first), int(last or first) + 1)
        if found and 1 <= found[0] and found[-1] <= 65535:
            return found
    raise argparse.ArgumentTypeError(f"expected a port or a range of ports within 1-65535, found {text!r}")


def name_of(port: int) -> str:
    try:
        return socket.getservbyport(port, "tcp")
    except OSError:
        return "?"


def main() -> None:
    parser = argparse.ArgumentParser(description="Which ports of this machine are open?")
    parser.add_argument("host", nargs="?", type=loopback, default="127.0.0.1")
    parser.add_argument("--ports", type=ports, default=ports("1-1024"), metavar="FIRST-LAST")
    parser.add_argument("--jobs", type=int, default=500, metavar="N", help="at the same time (default 500)")
    parser.add_argument("--timeout", type=float, default=1, metavar="SECONDS", help="(default 1)")
    options = parser.parse_args()
    if options.jobs < 1 or not options.timeout > 0:
        parser.error("--jobs must be at least 1, --timeout more than 0")
    tried = found = 0
    pool = Pool(options.jobs)
    answers = pool.imap(lambda port: (port, is_open(options.host, port, options.timeout)), options.ports)
    try:
        for port, open_ in answers:
            tried += 1
            if open_:
                found += 1
                print(f"{port:5}  {name_of(port)}", flush=True)
    except OSError as error:
        sys.exit(f"port {options.ports[tried]}: {error.strerror}: fewer --jobs may help")
    finally:
        print(f"{tried} ports of {options.host} were tried, {found} are open", flush=True)


if __name__ == "__main__":
    corolib.run(main)
