"""corolib.resolver.hosts: the hosts file."""

import os
from pathlib import Path
from socket import AF_INET, AF_INET6

import pytest

from corolib.resolver.hosts import Entry, HostsFile, pack

TEXT = """\
# a comment
127.0.0.1\tlocalhost   local.example  # the machine
::1 localhost ip6-localhost
10.0.0.1 a.Example a
10.0.0.2 a.example second
10.0.0.1 another.name.of.the.first
fe80::1%eth0 scoped

not-an-address name
10.0.0.3
 10.0.0.4 indented
"""


@pytest.fixture
def hosts(tmp_path: Path) -> HostsFile:
    path = tmp_path / "hosts"
    path.write_text(TEXT)
    return HostsFile(str(path))


def addresses(hosts: HostsFile, name: str) -> list[str]:
    return [entry.address for entry in hosts.by_name(name)]


def test_names_have_their_addresses_in_the_order_of_the_file(hosts: HostsFile) -> None:
    assert addresses(hosts, "localhost") == ["127.0.0.1", "::1"]
    assert addresses(hosts, "a.example") == ["10.0.0.1", "10.0.0.2"]
    assert addresses(hosts, "indented") == ["10.0.0.4"]
    assert addresses(hosts, "scoped") == ["fe80::1%eth0"]
    assert addresses(hosts, "name") == addresses(hosts, "unknown") == []


def test_case_and_a_last_dot_do_not_matter(hosts: HostsFile) -> None:
    assert addresses(hosts, "A.EXAMPLE.") == ["10.0.0.1", "10.0.0.2"]
    assert addresses(hosts, "LocalHost") == ["127.0.0.1", "::1"]


def test_addresses_have_their_names_the_canonical_one_first(hosts: HostsFile) -> None:
    assert hosts.by_address("10.0.0.1") == [
        Entry(AF_INET, "10.0.0.1", ("a.Example", "a")),
        Entry(AF_INET, "10.0.0.1", ("another.name.of.the.first",)),
    ]
    assert hosts.by_address("0:0::1")[0] == Entry(AF_INET6, "::1", ("localhost", "ip6-localhost"))
    assert hosts.by_address("10.0.0.9") == hosts.by_address("no address") == []


def test_the_file_is_read_again_when_it_changed_or_went(hosts: HostsFile) -> None:
    assert addresses(hosts, "new") == []
    with open(hosts.path, "a") as file:
        file.write("10.9.9.9 new\n")
    assert addresses(hosts, "new") == ["10.9.9.9"]
    os.unlink(hosts.path)
    assert addresses(hosts, "new") == []
    Path(hosts.path).write_text("10.8.8.8 new\n")
    assert addresses(hosts, "new") == ["10.8.8.8"]


def test_an_unchanged_file_is_not_read_again(hosts: HostsFile, monkeypatch: pytest.MonkeyPatch) -> None:
    assert addresses(hosts, "a") == ["10.0.0.1"]
    monkeypatch.setattr("builtins.open", None)
    assert addresses(hosts, "a") == ["10.0.0.1"]


def test_loopback_is_known_without_a_file(tmp_path: Path) -> None:
    hosts = HostsFile(str(tmp_path / "missing"))
    assert addresses(hosts, "localhost") == ["127.0.0.1", "::1"]
    assert hosts.by_address("127.0.0.1")[0].names == ("localhost",)
    assert hosts.by_address("::1")[0].names == ("localhost",)


def test_a_file_in_another_encoding_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / "hosts").write_bytes(b"10.0.0.1 \xff\xfe name\n10.0.0.2 other\n")
    hosts = HostsFile(str(tmp_path / "hosts"))
    assert addresses(hosts, "name") == ["10.0.0.1"]
    assert addresses(hosts, "other") == ["10.0.0.2"]


def test_pack() -> None:
    assert pack("127.0.0.1") == (AF_INET, b"\x7f\0\0\x01")
    assert pack("::1%lo") == pack("::1") == (AF_INET6, bytes(15) + b"\x01")
    assert pack("localhost") is pack("127.1") is pack("") is None
