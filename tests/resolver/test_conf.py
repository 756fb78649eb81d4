"""corolib.resolver.conf: resolv.conf, as the C library reads it."""

import os
from pathlib import Path

import pytest

from corolib.resolver.conf import Conf, ConfFile, Server, parse, parse_server


def read(text: str, hostname: str = "machine", **environ: str) -> Conf:
    return parse(text, environ, hostname)


def test_a_usual_file() -> None:
    text = "# comment\n; another\nnameserver 192.0.2.1\nnameserver 2001:db8::1\nsearch a.example b.example\n"
    assert read(text) == Conf((Server("192.0.2.1"), Server("2001:db8::1")), ("a.example", "b.example"))


def test_without_servers_it_is_this_machine() -> None:
    for text in ("", "search a.example\n", "nameserver\n", "nameserver name.example\n", "nameserver 1.2.3\n"):
        assert read(text).servers == (Server("127.0.0.1"),)


def test_at_most_three_servers() -> None:
    assert len(read("".join(f"nameserver 192.0.2.{n}\n" for n in range(9))).servers) == 3


def test_scoped_addresses() -> None:
    assert read("nameserver fe80::1%eth0\n").servers == (Server("fe80::1%eth0"),)


def test_the_last_list_of_domains_counts() -> None:
    assert read("domain a.example\nsearch b.example c.example\n").search == ("b.example", "c.example")
    assert read("search b.example c.example\ndomain a.example\n").search == ("a.example",)


def test_without_a_list_it_is_the_domain_of_this_machine() -> None:
    assert read("", "machine.some.example").search == ("some.example",)
    assert read("", "machine").search == ()
    assert read("search a.example", "machine.some.example").search == ("a.example",)


def test_options() -> None:
    conf = read("options ndots:3 timeout:7 attempts:4 rotate use-vc single-request no-aaaa edns0 unknown:1\n")
    assert conf[2:] == (3, 7, 4, True, True, True, True)
    assert read("options ndots:99 timeout:99 attempts:99")[2:5] == (15, 30, 5)
    assert read("options ndots:0 timeout:0 attempts:0")[2:5] == (0, 1, 1)
    assert read("options ndots: timeout:x attempts:-1 ndots:²")[2:5] == (1, 5, 2)


def test_the_environment_has_the_last_word() -> None:
    text = "search a.example\noptions ndots:2 timeout:3\n"
    conf = read(text, LOCALDOMAIN="b.example c.example", RES_OPTIONS="ndots:4")
    assert (conf.search, conf.ndots, conf.timeout) == (("b.example", "c.example"), 4, 3)


@pytest.mark.parametrize(
    "line", ["search", "domain", "options", "\0", "sea rch x", "nameserver 1 2 3", " nameserver 192.0.2.1"]
)
def test_what_is_not_understood_is_passed_over(line: str) -> None:
    assert read(f"{line}\nnameserver 192.0.2.9\n") == Conf((Server("192.0.2.9"),))


def test_read_again_when_changed_missing_or_unreadable(tmp_path: Path) -> None:
    file = ConfFile(str(tmp_path / "resolv.conf"))
    assert file.read().servers == (Server("127.0.0.1"),)
    Path(file.path).write_text("nameserver 192.0.2.1\n")
    first = file.read()
    assert first.servers == (Server("192.0.2.1"),)
    assert file.read() is first, "unchanged: the same object"
    Path(file.path).write_bytes(b"nameserver 192.0.2.22\n# \xff\xfe\n")
    assert file.read().servers == (Server("192.0.2.22"),)
    os.unlink(file.path)
    assert file.read().servers == (Server("127.0.0.1"),)
    os.mkdir(file.path)
    assert file.read().servers == (Server("127.0.0.1"),), "there is something, but it cannot be read"


def test_servers_of_the_setting() -> None:
    assert parse_server("192.0.2.1") == Server("192.0.2.1", 53)
    assert parse_server("192.0.2.1:5353") == Server("192.0.2.1", 5353)
    assert parse_server("2001:db8::1") == Server("2001:db8::1", 53)
    assert parse_server("[2001:db8::1]:5353") == Server("2001:db8::1", 5353)
    for bad in (
        "",
        "name",
        "192.0.2.1:",
        "192.0.2.1:0",
        "192.0.2.1:65536",
        "[192.0.2.1]:53",
        "2001:db8::1:x",
        ":53",
    ):
        with pytest.raises(ValueError, match="expected an address such as"):
            parse_server(bad)
