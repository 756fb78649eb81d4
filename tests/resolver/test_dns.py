"""corolib.resolver.dns against name servers that behave, that fail and that lie."""

import os
import socket
import threading
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dns.asyncresolver
import dns.flags
import dns.message
import dns.rcode
import dns.resolver
import pytest
from helpers import Recorder, run_isolated
from resolver.nameserver import NameServer, Request, Zone

from corolib import config
from corolib.greenlet import Greenlet, killall
from corolib.hub import sleep
from corolib.resolver.conf import ConfFile
from corolib.resolver.dns import DnsResolver
from corolib.resolver.hosts import HostsFile
from corolib.timeout import Timeout

Handler = Callable[[Request], object]
Make = Callable[..., tuple[DnsResolver, NameServer]]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """A resolver and the name server that it asks: make(handler, text of resolv.conf)."""
    servers: list[NameServer] = []
    resolvers: list[DnsResolver] = []

    def make(
        handler: Handler, conf: str = "", timeout: float = 30, *others: str
    ) -> tuple[DnsResolver, NameServer]:
        server = NameServer(handler)
        servers.append(server)
        (tmp_path / "resolv.conf").write_text("search example\n" + conf)
        (tmp_path / "hosts").write_text("192.0.2.99 known.example\n")
        monkeypatch.setattr(config, "resolver_nameservers", [*others, server.text])
        monkeypatch.setattr(config, "resolver_timeout", timeout)
        resolver = DnsResolver(
            hosts=HostsFile(str(tmp_path / "hosts")), conf=ConfFile(str(tmp_path / "resolv.conf"))
        )
        resolvers.append(resolver)
        return resolver, server

    yield make
    for resolver in resolvers:
        assert not resolver._look_ups
        assert not resolver._questions
    for server in servers:
        server.__exit__()


def always(*records: str, **how: Any) -> Handler:
    return lambda request: request.send(request.answer(*records, **how))


def errno_of(function: Callable[..., object], *args: object) -> int:
    with pytest.raises(socket.gaierror) as caught:
        function(*args)
    assert caught.value.errno is not None
    return caught.value.errno


class Gate:
    """A handler that holds its answers back."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.came = threading.Semaphore(0)
        self.go = threading.Semaphore(0)

    def __call__(self, request: Request) -> None:
        self.came.release()
        assert self.go.acquire(timeout=60)
        self.handler(request)

    def wait(self) -> None:
        """Until a query has come."""
        while not self.came.acquire(blocking=False):
            sleep(0.001)


# -- the usual ---------------------------------------------------------------------------------------------


def test_others_run_while_an_answer_is_on_its_way(make: Make) -> None:
    gate = Gate(always("@ 60 A 192.0.2.1"))
    resolver, _ = make(gate)
    rec = Recorder()
    asking = Greenlet.spawn(lambda: rec(resolver.gethostbyname("a.example")))
    gate.wait()
    rec("others run")
    gate.go.release()
    asking.join()
    rec.check(["others run", "192.0.2.1"])


def test_numeric_addresses_and_known_names_are_never_asked_for(make: Make) -> None:
    resolver, server = make(always(rcode="SERVFAIL"))
    for host in ("192.0.2.1", "::1", "fe80::1%lo", "127.1", "known.example", "KNOWN.example."):
        resolver.getaddrinfo(host, 80)
    assert resolver.gethostbyname("known.example") == "192.0.2.99"
    assert resolver.gethostbyaddr("192.0.2.99") == ("known.example", [], ["192.0.2.99"])
    assert resolver.getnameinfo(("192.0.2.98", 80), socket.NI_NUMERICHOST)[0] == "192.0.2.98"
    assert server.asked == []


def test_equal_questions_are_asked_once(make: Make) -> None:
    gate = Gate(always("@ 60 A 192.0.2.1"))
    resolver, server = make(gate)
    asking = [Greenlet.spawn(resolver.gethostbyname, "a.example") for _ in range(5)]
    gate.wait()
    asking[0].kill()
    gate.go.release()
    assert [each.get() for each in asking[1:]] == ["192.0.2.1"] * 4
    assert server.asked == [("a.example.", "A", False)]


def test_both_families_are_asked_for_at_the_same_time(make: Make) -> None:
    waiting: list[Request] = []

    def both(request: Request) -> None:
        waiting.append(request)
        if len(waiting) == 2:
            for each in waiting:
                each.send(each.answer("@ 60 A 192.0.2.1" if each.type == "A" else "@ 60 AAAA 2001:db8::1"))

    resolver, _ = make(both)
    found = resolver.getaddrinfo("a.example", 80, 0, socket.SOCK_STREAM)
    assert {row[4][0] for row in found} == {"192.0.2.1", "2001:db8::1"}


def test_one_after_the_other_or_only_one_if_the_file_says_so(make: Make) -> None:
    zone = Zone(["a.example. 60 A 192.0.2.1", "a.example. 60 AAAA 2001:db8::1"])
    resolver, server = make(zone, "options single-request\n")
    assert len(resolver.getaddrinfo("a.example", 80, 0, socket.SOCK_STREAM)) == 2
    resolver, server = make(zone, "options no-aaaa use-vc\n")
    assert len(resolver.getaddrinfo("a.example", 80, 0, socket.SOCK_STREAM)) == 1
    assert server.asked == [("a.example.", "A", True)]


def test_half_an_answer_is_one(make: Make) -> None:
    def half(request: Request) -> None:
        request.send(
            request.answer("@ 60 A 192.0.2.1") if request.type == "A" else request.answer(rcode="SERVFAIL")
        )

    resolver, _ = make(half)
    assert [row[4][0] for row in resolver.getaddrinfo("a.example", 80, 0, socket.SOCK_STREAM)] == [
        "192.0.2.1"
    ]


def test_the_number_of_dots_decides_what_is_tried_first(make: Make) -> None:
    resolver, server = make(always(rcode="NXDOMAIN", soa=". 60 SOA . . 1 1 1 1 60"), "options ndots:2\n")
    for host in ("a", "a.b", "a.b.c", "d.e."):
        assert errno_of(resolver.gethostbyname, host) == socket.EAI_NONAME
    assert [name for name, _, _ in server.asked] == [
        *("a.example.", "a."),
        *("a.b.example.", "a.b."),
        *("a.b.c.", "a.b.c.example."),
        "d.e.",
    ]


# -- what is kept ------------------------------------------------------------------------------------------


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> types.SimpleNamespace:
    """The clock of dnspython, in the hand of the test."""
    clock = types.SimpleNamespace(now=1e9)
    clock.time = lambda: clock.now
    for module in (dns.resolver, dns.asyncresolver):
        monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr("corolib.resolver.dns.time", clock.time)
    return clock


def test_answers_are_kept_as_long_as_they_are_valid(make: Make, clock: types.SimpleNamespace) -> None:
    resolver, server = make(always("@ 60 A 192.0.2.1"))
    for now in (0, 59, 61, 119, 122):
        clock.now = 1e9 + now
        assert resolver.gethostbyname("A.example") == resolver.gethostbyname("a.EXAMPLE") == "192.0.2.1"
    assert len(server.asked) == 3


def test_answers_without_time_to_live_are_not_kept(make: Make) -> None:
    resolver, server = make(always("@ 0 A 192.0.2.1"))
    for _ in range(2):
        resolver.gethostbyname("a.example")
    assert len(server.asked) == 2


def test_no_answer_is_kept_for_longer_than_a_day(make: Make, clock: types.SimpleNamespace) -> None:
    resolver, server = make(always("@ 2147483647 A 192.0.2.1"))
    for now in (0, 86399, 86401):
        clock.now = 1e9 + now
        resolver.gethostbyname("a.example")
    assert len(server.asked) == 2


@pytest.mark.parametrize("rcode", ["NXDOMAIN", "NOERROR"])
def test_that_there_is_none_is_kept_as_long_as_the_zone_says(
    make: Make, clock: types.SimpleNamespace, rcode: str
) -> None:
    resolver, server = make(always(rcode=rcode, soa="example. 50 SOA . . 1 1 1 1 40"))
    for now in (0, 39, 41):
        clock.now = 1e9 + now
        errno_of(resolver.gethostbyname, "a.example.")
    assert len(server.asked) == 2
    resolver, server = make(always(rcode=rcode))
    for _ in range(2):
        errno_of(resolver.gethostbyname, "a.example.")
    assert len(server.asked) == 2, "it does not say how long"


def test_failures_are_not_kept(make: Make) -> None:
    answers = iter(["SERVFAIL", "NOERROR"])
    resolver, _ = make(lambda request: request.send(request.answer("@ 60 A 192.0.2.1", rcode=next(answers))))
    assert errno_of(resolver.gethostbyname, "a.example.") == socket.EAI_AGAIN
    assert resolver.gethostbyname("a.example.") == "192.0.2.1"


# -- the protocol ------------------------------------------------------------------------------------------


def test_what_does_not_fit_a_datagram_comes_by_tcp(make: Make) -> None:
    records = [f"@ 60 A 10.0.{n // 250}.{n % 250}" for n in range(3500)]

    def handler(request: Request) -> None:
        request.send(request.answer(*records) if request.tcp else request.truncated())

    resolver, server = make(handler)
    assert len(resolver.gethostbyname_ex("a.example.")[2]) == 3500, "56 kB"
    assert [tcp for _, _, tcp in server.asked] == [False, True]


def test_queries_say_how_much_fits_and_do_without_where_that_is_not_understood(make: Make) -> None:
    payloads: list[int] = []

    def old(request: Request) -> None:
        payloads.append(request.query.payload)
        if request.query.edns >= 0:
            answer = dns.message.make_response(request.query)
            answer.use_edns(-1)
            answer.set_rcode(dns.rcode.FORMERR)
            request.send(answer)
        else:
            request.send(request.answer("@ 60 A 192.0.2.1"))

    resolver, _ = make(old)
    assert resolver.gethostbyname("a.example.") == "192.0.2.1"
    assert payloads == [1232, 0]


def test_letters_are_compared_without_case(make: Make) -> None:
    """A server may write the question in other letters, and one may ask in any to be recognised (0x20)."""

    def handler(request: Request) -> None:
        request.send(request.answer("@ 60 A 192.0.2.1").to_wire().replace(b"aBc", b"AbC"))

    resolver, _ = make(handler)
    assert resolver.gethostbyname("aBc.example.") == "192.0.2.1"


def test_the_next_server_is_asked_when_nobody_is_at_home(make: Make) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as closed:
        closed.bind(("127.0.0.1", 0))
        nobody = f"127.0.0.1:{closed.getsockname()[1]}"
    for others in ([nobody], [nobody, nobody]):
        resolver, _ = make(always("@ 60 A 192.0.2.1"), "", 30, *others)
        assert resolver.gethostbyname("a.example.") == "192.0.2.1"


@pytest.mark.parametrize("rcode", ["SERVFAIL", "REFUSED", "NOTIMP"])
def test_the_next_server_is_asked_when_one_fails(make: Make, rcode: str) -> None:
    with NameServer(always(rcode=rcode)) as failing:
        resolver, _ = make(always("@ 60 A 192.0.2.1"), "", 30, failing.text)
        assert resolver.gethostbyname("a.example.") == "192.0.2.1"


def test_silence_is_a_temporary_failure(make: Make) -> None:
    resolver, server = make(lambda request: None, "options attempts:2\n", 0.05)
    assert errno_of(resolver.getaddrinfo, "a.example.", 80) == socket.EAI_AGAIN
    assert errno_of(resolver.gethostbyname, "b.example") == socket.EAI_AGAIN
    assert ("b.example.example.", "A", False) not in server.asked, (
        "servers that are silent know no other name either"
    )
    with pytest.raises(socket.herror) as caught:
        resolver.gethostbyaddr("192.0.2.1")
    assert caught.value.errno == 2


def test_an_answer_after_its_time_is_not_taken(make: Make) -> None:
    late: list[Request] = []

    def handler(request: Request) -> None:
        late.append(request)
        if len(late) > 1:
            late[0].send(late[0].answer("@ 60 A 192.0.2.66"))
            request.send(request.answer("@ 60 A 192.0.2.1"))

    resolver, _ = make(handler, "options attempts:5\n", 0.1)
    assert resolver.gethostbyname("a.example.") == "192.0.2.1"
    assert resolver.gethostbyname("a.example.") == "192.0.2.1"


# -- lies --------------------------------------------------------------------------------------------------


def other_id(request: Request) -> None:
    spoof = request.answer("@ 60 A 192.0.2.66")
    spoof.id ^= 1
    request.send(spoof)


def other_question(request: Request) -> None:
    query = dns.message.make_query("other.example.", "A", id=request.query.id)
    spoof = dns.message.make_response(query)
    spoof.answer = request.answer("@ 60 A 192.0.2.66").answer
    request.send(spoof)


def other_type(request: Request) -> None:
    query = dns.message.make_query(request.name, "AAAA", id=request.query.id)
    request.send(dns.message.make_response(query))


def no_question(request: Request) -> None:
    spoof = request.answer("@ 60 A 192.0.2.66")
    spoof.question = []
    request.send(spoof)


def no_response(request: Request) -> None:
    spoof = request.answer("@ 60 A 192.0.2.66")
    spoof.flags &= ~dns.flags.QR
    request.send(spoof)


def other_port(request: Request) -> None:
    request.send_from_elsewhere(request.answer("@ 60 A 192.0.2.66"))


def other_address(request: Request) -> None:
    request.send_from_elsewhere(request.answer("@ 60 A 192.0.2.66"), "127.0.0.66")


def cut_short(request: Request) -> None:
    wire = request.answer("@ 60 A 192.0.2.66").to_wire()
    for length in range(len(wire)):
        request.send(wire[:length])


def longer(request: Request) -> None:
    request.send(request.answer("@ 60 A 192.0.2.66").to_wire() + b"more")


def pointer_loop(request: Request) -> None:
    wire = request.answer("@ 60 A 192.0.2.66").to_wire()
    request.send(wire[:12] + b"\xc0\x0c" + wire[14:])
    request.send(wire[:12] + b"\xc0\xff" * 100)


def truncated_for_another(request: Request) -> None:
    spoof = request.truncated()
    spoof.id ^= 1
    request.send(spoof)


def noise(request: Request) -> None:
    for length in (0, 1, 11, 12, 600, 9000):
        request.send(os.urandom(length))


LIES = [
    *(other_id, other_question, other_type, no_question, no_response, other_port, other_address, cut_short),
    *(longer, pointer_loop, truncated_for_another, noise),
]


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.__name__)
def test_a_lie_before_the_answer_is_passed_over(make: Make, lie: Handler) -> None:
    def handler(request: Request) -> None:
        lie(request)
        request.send(request.answer("@ 60 A 192.0.2.1"))

    resolver, server = make(handler)
    assert resolver.gethostbyname("a.example.") == "192.0.2.1"
    assert len(server.asked) == 1


def test_lies_without_end_do_not_move_the_deadline(make: Make) -> None:
    over = threading.Event()

    def flood(request: Request) -> None:
        while not over.is_set():
            other_id(request)

    resolver, _ = make(flood, "options attempts:1\n", 0.2)
    rec = Recorder()
    asking = Greenlet.spawn(errno_of, resolver.gethostbyname, "a.example.")
    Greenlet.spawn(lambda: rec("others run"))
    try:
        assert asking.get() == socket.EAI_AGAIN
    finally:
        over.set()
    rec.check(["others run"])


@pytest.mark.parametrize(
    "data",
    [b"", b"\0", b"\0\0", b"\0\x0c" + bytes(12), b"\xff\xff" + bytes(65535), b"\0\x05hello", b"\xff\xff"],
    ids=[
        "nothing",
        "half a length",
        "empty",
        "header only",
        "64 kB of nothing",
        "noise",
        "less than it says",
    ],
)
def test_nonsense_by_tcp_is_a_temporary_failure(make: Make, data: bytes) -> None:
    def handler(request: Request) -> None:
        if request.tcp:
            request.send_raw(data)
            raise OSError("close it")
        request.send(request.truncated())

    resolver, _ = make(handler, "options attempts:1\n", 0.2)
    assert errno_of(resolver.gethostbyname, "a.example.") == socket.EAI_AGAIN


def test_what_is_beside_the_answer_is_not_taken_from_it(make: Make) -> None:
    """Records for other names, in any section, and addresses in the additional one."""

    def handler(request: Request) -> None:
        answer = request.answer("other.example. 60 A 192.0.2.66")
        answer.additional = request.answer("@ 60 A 192.0.2.66").answer
        answer.authority = request.answer("@ 60 A 192.0.2.66").answer
        request.send(answer)

    resolver, server = make(handler)
    assert errno_of(resolver.gethostbyname, "a.example.") == socket.EAI_NODATA
    assert resolver.gethostbyname("other.example.") == "192.0.2.66", "here it is the one that was asked for"
    assert ("other.example.", "A", False) in server.asked, "it was not learned on the way"


# -- who asks goes -----------------------------------------------------------------------------------------


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def kills(resolver: DnsResolver, rounds: int) -> None:
    sleep(0)  # the hub has its own descriptors by now
    before = descriptors()
    for start in range(0, rounds, 50):
        asking = [Greenlet.spawn(resolver.getaddrinfo, f"{start + n}.example.", 80) for n in range(50)]
        for _ in range(start // 50 % 6):
            sleep(0)
        killall(asking)
    for _ in range(5):  # the greenlets of the look-ups, and those that these have spawned
        sleep(0)
    assert not resolver._questions
    assert not resolver._look_ups
    assert descriptors() == before


def test_a_question_ends_with_the_last_one_who_asked(make: Make) -> None:
    resolver, _ = make(lambda request: None)
    kills(resolver, 600)


@pytest.mark.slow
@pytest.mark.hang_after(900)
def test_a_hundred_thousand_questions_that_nobody_waits_for(make: Make) -> None:
    resolver, _ = make(lambda request: None)
    kills(resolver, int(os.environ.get("COROLIB_TEST_SIZE", "100000")))


def test_an_exception_of_the_asker_s_own_is_no_failure_of_a_server(make: Make) -> None:
    resolver, _ = make(lambda request: None)
    with pytest.raises(KeyError, match="mine"), Timeout(0.01, KeyError("mine")):
        resolver.gethostbyname("a.example.")
    sleep(0)


def test_closing_ends_what_is_under_way(make: Make) -> None:
    gate = Gate(always("@ 60 A 192.0.2.1"))
    resolver, _ = make(gate)
    asking = Greenlet.spawn(resolver.gethostbyname, "a.example.")
    gate.wait()
    resolver.close()
    asking.join()
    assert isinstance(asking.exception, socket.gaierror)
    gate.go.release()


# -- what changes ------------------------------------------------------------------------------------------


def test_when_the_file_changes_what_was_known_is_forgotten(make: Make, tmp_path: Path) -> None:
    resolver, server = make(always("@ 60 A 192.0.2.1"))
    for _ in range(2):
        resolver.gethostbyname("a.example.")
    assert len(server.asked) == 1
    (tmp_path / "resolv.conf").write_text("options ndots:5\n")
    resolver.gethostbyname("a.example.")
    assert len(server.asked) == 2


def test_servers_of_the_file_are_asked_at_port_53(make: Make, tmp_path: Path) -> None:
    resolver, _ = make(always())
    resolver._servers = ()
    (tmp_path / "resolv.conf").write_text(
        "nameserver 192.0.2.1\nnameserver ::1\noptions timeout:7 attempts:3\n"
    )
    resolver._read()
    config.resolver_timeout = None
    made = resolver._make(resolver._file.read(), True)
    assert resolver.resolver.use_search_by_default is False
    assert [str(server) for server in made.nameservers] == ["Do53:192.0.2.1@53", "Do53:::1@53"]
    assert (made.timeout, made.lifetime) == (7, 42)


def test_a_wrong_name_server_in_the_settings_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "resolver_nameservers", ["dns.example"])
    with pytest.raises(ValueError, match=r"name server 'dns.example': expected an address such as 192.0.2.1"):
        DnsResolver()


# -- in processes of their own -----------------------------------------------------------------------------

PREAMBLE = """
import os, socket, sys, threading
from resolver.nameserver import NameServer, Zone
zone = Zone(["a.example. 60 A 192.0.2.1", "a.example. 60 AAAA 2001:db8::1"])
"""


@pytest.mark.parametrize("word", ["dns", "dnspython", "nonsense,dns"])
def test_patched_programs_use_it_by_a_setting(word: str) -> None:
    """Without a thread, without asyncio, and dnspython has the modules that everybody has."""
    run_isolated(
        PREAMBLE
        + """
from corolib import monkey
with NameServer(zone) as server:
    os.environ["COROLIB_RESOLVER_NAMESERVERS"] = server.text
    before = len(os.listdir("/proc/self/task"))
    monkey.patch_all()
    assert {row[4][0] for row in socket.getaddrinfo("a.example.", 80)} == {"192.0.2.1", "2001:db8::1"}
    assert len(os.listdir("/proc/self/task")) == before
    assert "asyncio" not in sys.modules
    import dns.resolver
    assert dns.resolver.socket is socket
""",
        env={"COROLIB_RESOLVER": word},
    )


def test_who_waits_in_the_child_of_a_fork_is_answered_there() -> None:
    """With a socket of its own."""
    run_isolated(
        PREAMBLE
        + """
from corolib.greenlet import Greenlet
from corolib.hub import sleep
from corolib.resolver import get_resolver

came, go = threading.Event(), threading.Event()
def slow(request):
    came.set()
    go.wait()
    zone(request)

server = NameServer(slow)
os.environ["COROLIB_RESOLVER_NAMESERVERS"] = server.text
asking = Greenlet.spawn(get_resolver().gethostbyname, "a.example.")
while not came.is_set():
    sleep(0.001)
child = os.fork()
if not child:
    os._exit(0 if asking.get() == get_resolver().gethostbyname("a.example.") == "192.0.2.1" else 1)
while [name for name, _, _ in server.asked] != ["a.example."]:
    sleep(0.001)
go.set()
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert asking.get() == "192.0.2.1"
assert len(server.asked) == 2
""",
        env={"COROLIB_RESOLVER": "dns"},
    )


@pytest.mark.parametrize("kind", ["dns", "thread"])
def test_a_daemon_that_has_closed_all_descriptors_still_finds_names(kind: str) -> None:
    run_isolated(
        PREAMBLE
        + """
from corolib.hub import get_hub, sleep
from corolib.resolver import get_resolver

server = NameServer(zone)
os.environ["COROLIB_RESOLVER_NAMESERVERS"] = server.text

def look_up():
    try:
        return get_resolver().gethostbyname("a.example.")
    except socket.gaierror:
        assert os.environ["COROLIB_RESOLVER"] == "thread"  # which asks the servers of this machine

read, wrote = os.pipe()
before = look_up()
child = os.fork()
if not child:
    os.setsid()
    if os.fork():
        os._exit(0)
    kept = os.dup(wrote)
    get_hub().destroy()
    os.closerange(3, kept)
    os.closerange(kept + 1, 1024)
    os.write(kept, b"right" if look_up() == before else b"wrong")
    os._exit(0)
os.close(wrote)
os.waitpid(child, 0)
assert os.read(read, 100) == b"right"
""",
        env={"COROLIB_RESOLVER": kind},
    )


@pytest.mark.parametrize("kind", ["dns", "thread"])
def test_names_that_are_needed_while_modules_are_imported(kind: str, tmp_path: Path) -> None:
    (tmp_path / "needy.py").write_text(
        "import socket\n"
        "try:\n    socket.getaddrinfo('bücher.invalid', 80)\n"
        "except socket.gaierror as error:\n    found = error.errno\n"
    )
    run_isolated(
        PREAMBLE
        + f"""
from corolib import monkey, spawn, joinall
monkey.patch_all()
sys.path.insert(0, {str(tmp_path)!r})
def load():
    import needy
    return needy
with NameServer(zone) as server:
    os.environ["COROLIB_RESOLVER_NAMESERVERS"] = server.text
    loading = [spawn(load) for _ in range(3)]
    joinall(loading, raise_error=True)
    assert load().found in (socket.EAI_NONAME, socket.EAI_AGAIN)
""",
        env={"COROLIB_RESOLVER": kind},
    )
