"""Names by the DNS protocol, in greenlets: no native thread, no limit to the questions under way.

dnspython makes and reads the messages, retries, falls back to TCP and keeps answers as long as their TTL
allows. Here is what makes of it the functions of the `socket` module: which names are tried (search list,
ndots), which types of record, in which form the answer comes and with which error it does not. All that as
the GNU C library has it, with `files dns` in its nsswitch.conf: programs see the same as with the resolver
`thread`.

Spoofed answers: each question has a socket, a port and a random number of its own; what does not fit all
three and repeat the question is passed over, and the wait goes on until the deadline.
"""

import _socket
import re
from _socket import (
    AF_INET,
    AF_INET6,
    AI_ADDRCONFIG,
    AI_ALL,
    AI_CANONNAME,
    AI_NUMERICHOST,
    AI_V4MAPPED,
    NI_NAMEREQD,
    NI_NOFQDN,
    NI_NUMERICHOST,
    SOCK_DGRAM,
    gaierror,
    herror,
)
from collections.abc import Callable
from enum import Enum
from time import time
from typing import Any

import dns.asyncresolver
import dns.exception
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.resolver
import dns.reversename

from .._config import config
from .._switch import getcurrent
from ..greenlet import Greenlet
from ..hub import Hub
from ..timeout import Timeout
from .base import wanted
from .conf import Conf, ConfFile, parse_server
from .exchange import Backend, run
from .hosts import HostsFile
from .rows import AddressInfo, Port, rows
from .shared import Question, SharingResolver

__all__ = ["DnsResolver"]

#: Bytes of an answer by UDP that no network on the way has to cut (the DNS flag day of 2020).
EDNS_PAYLOAD = 1232

#: How many answers are kept, and for how long at most, whatever their TTL says.
CACHE_SIZE = 10_000
CACHE_TIME = 24 * 3600

#: What the C library accepts as the name of a host in an answer. Others are dangerous to programs that hand
#: them on.
HOSTNAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")

A, AAAA, PTR = dns.rdatatype.A, dns.rdatatype.AAAA, dns.rdatatype.PTR


#: Not every C library tells this from "no such name".
_EAI_NODATA: int = getattr(_socket, "EAI_NODATA", _socket.EAI_NONAME)


class Why(Enum):
    """Why there is no answer: the error of getaddrinfo() and of gethostbyaddr(), and what they say."""

    NO_NAME = _socket.EAI_NONAME, "Name or service not known", 1, "Unknown host"
    TRY_AGAIN = _socket.EAI_AGAIN, "Temporary failure in name resolution", 2, "Host name lookup failure"
    NO_RECOVERY = _socket.EAI_NONAME, "Name or service not known", 3, "Unknown server error"
    NO_DATA = _EAI_NODATA, "No address associated with hostname", 4, "No address associated with name"

    def gaierror(self) -> gaierror:
        return gaierror(*self.value[:2])

    def herror(self) -> herror:
        return herror(*self.value[2:])


class NotFound(Exception):
    """There is no answer."""

    def __init__(self, why: Why, *, dead: bool = False, servfail: bool = False) -> None:
        super().__init__(why)
        self.why = why
        #: No server has answered.
        self.dead = dead
        #: A server said that it could not answer; other names may fare better.
        self.servfail = servfail


class Found:
    """The answer to a question about a name."""

    __slots__ = ("aliases", "canonical", "values")

    def __init__(self, asked: dns.name.Name, answer: dns.resolver.Answer) -> None:
        #: Addresses, or names of hosts.
        self.values: list[str] = []
        for record in answer.rrset or ():
            text = _host(record.target) if answer.rdtype == PTR else record.address
            if text is not None:
                self.values.append(text)
        # From the name as it was asked for (the answer may come from the cache, asked for in other letters)
        # to the last one of the chain.
        chain = [*(each.name for each in answer.chaining_result.cnames), answer.canonical_name]
        names = [name for each in (asked, *chain[1:]) if (name := _host(each)) is not None]
        self.canonical = names[-1] if names else ""
        #: The names that led there.
        self.aliases = names[:-1]


class Cache(dns.resolver.LRUCache):
    """Answers, as long as they are valid."""

    def put(self, key: Any, value: dns.resolver.Answer) -> None:
        if value.rrset is None and not any(
            each.rdtype == dns.rdatatype.SOA for each in value.response.authority
        ):
            return  # a negative answer that does not say how long it is valid (RFC 2308, 5)
        value.expiration = min(value.expiration, time() + CACHE_TIME)
        super().put(key, value)


def _host(name: dns.name.Name) -> str | None:
    """The name as text, or None if no host can be called so."""
    text = name.to_text(omit_final_dot=True)
    return text if HOSTNAME.fullmatch(text) else None


def _name(host: bytes) -> dns.name.Name:
    """NotFound if there can be no such host."""
    if not HOSTNAME.fullmatch(host.decode("latin-1")):
        raise NotFound(Why.NO_NAME)
    try:
        return dns.name.Name([*host.removesuffix(b".").split(b"."), b""])
    except dns.exception.DNSException:  # a label or the whole that is empty or too long
        raise NotFound(Why.NO_NAME) from None


class DnsResolver(SharingResolver):
    """Asks the name servers of /etc/resolv.conf, or those of config.resolver_nameservers, from greenlets."""

    def __init__(
        self, hub: Hub | None = None, *, hosts: HostsFile | None = None, conf: ConfFile | None = None
    ) -> None:
        super().__init__(hub, hosts=hosts)
        self._file = conf if conf is not None else ConfFile()
        self._servers = tuple(map(parse_server, config.resolver_nameservers or ()))
        self._backend = Backend()
        self._cache = Cache(CACHE_SIZE)
        self._look_ups: dict[Question, Greenlet[None]] = {}
        self._conf: Conf | None = None
        self._resolvers: list[dns.asyncresolver.Resolver] = []

    @property
    def resolver(self) -> dns.asyncresolver.Resolver:
        """What asks the servers, with the settings of now."""
        self._read()
        return self._resolvers[0]

    # -- questions under way ---------------------------------------------------------------------------------

    def close(self) -> None:
        """Who still waits is told that there is no answer now."""
        for question in list(self._look_ups):
            self._withdraw(question)
            self._answered(question, None, Why.TRY_AGAIN.gaierror())

    def after_fork(self) -> None:
        """In the child of a fork: the sockets are those of the parent, which would lose its answers to us."""
        for question, look_up in list(self._look_ups.items()):
            look_up.kill(block=False)
            self._begin(question)

    def _begin(self, question: Question) -> None:
        self._look_ups[question] = Greenlet.spawn(self._look_up, question)

    def _withdraw(self, question: Question) -> None:
        self._look_ups.pop(question).kill(block=False)

    def _look_up(self, question: Question) -> None:
        value = error = None
        try:
            value = getattr(self, "_" + question.function)(*question.args)
        except Exception as failure:
            error = failure
        if self._look_ups.get(question) is getcurrent():  # else it has been withdrawn, or is asked once more
            del self._look_ups[question]
            self._answered(question, value, error)

    # -- the functions of the socket module ------------------------------------------------------------------

    def _getaddrinfo(
        self, host: bytes, port: Port, family: int, type: int, proto: int, flags: int
    ) -> list[AddressInfo]:
        rest = flags & ~(AI_ADDRCONFIG | AI_V4MAPPED | AI_ALL | AI_CANONNAME)
        sample = family or AF_INET
        rows(
            [(sample, _SAMPLES[sample])], port, family, type, proto, rest
        )  # is the rest of the question right?
        conf = self._read()
        families = [of for of in (AF_INET, AF_INET6) if self._may_ask(of, family, flags, conf)]
        if not families:
            raise Why.NO_NAME.gaierror()
        try:
            found = self._search(host, lambda name: self._addresses(name, families))
        except NotFound as failure:
            raise failure.why.gaierror() from None
        four, six = (found[of].values if of in found else [] for of in (AF_INET, AF_INET6))
        made = rows(wanted(four, six, family, flags), port, family, type, proto, rest)
        if not made:
            raise Why.NO_DATA.gaierror()
        if flags & AI_CANONNAME:
            canonical = next(each.canonical for each in found.values() if each.values)
            made[0] = (*made[0][:3], canonical, made[0][4])
        return made

    def _gethostbyname(self, host: bytes) -> str:
        address: str = self._getaddrinfo(host, None, AF_INET, SOCK_DGRAM, 0, 0)[0][4][0]
        return address

    def _gethostbyname_ex(self, host: bytes) -> tuple[str, list[str], list[str]]:
        try:
            found = self._search(host, lambda name: self._addresses(name, [AF_INET]))[AF_INET]
        except NotFound as failure:
            raise failure.why.gaierror() from None
        return found.canonical, found.aliases, found.values

    def _gethostbyaddr(self, address: str) -> tuple[str, list[str], list[str]]:
        try:
            names = self._pointers(address)
        except NotFound as failure:
            raise failure.why.herror() from None
        return names[0], [], [address]

    def _getnameinfo(self, sockaddr: tuple[Any, ...], flags: int) -> tuple[str, str]:
        host, service = _socket.getnameinfo(sockaddr, (flags | NI_NUMERICHOST) & ~NI_NAMEREQD)
        try:
            name = self._pointers(host)[0]
        except NotFound as failure:
            if failure.why is Why.TRY_AGAIN:
                raise failure.why.gaierror() from None
            if flags & NI_NAMEREQD:
                raise Why.NO_NAME.gaierror() from None
            return host, service
        domain = _socket.gethostname().partition(".")[2]
        if flags & NI_NOFQDN and domain:
            name = name.removesuffix("." + domain)
        return name, service

    # -- which names and which records -----------------------------------------------------------------------

    @staticmethod
    def _may_ask(of: int, family: int, flags: int, conf: Conf) -> bool:
        """Whether to look for addresses of this family."""
        if of == AF_INET6 and conf.no_ipv6:
            return False
        mapped = of == AF_INET and family == AF_INET6 and flags & AI_V4MAPPED
        if family not in (0, of) and not mapped:
            return False
        return not flags & AI_ADDRCONFIG or _has_address(of)

    def _search(self, host: bytes, ask: Callable[[dns.name.Name], Any]) -> Any:
        """What `ask` makes of the first name that exists: of the host itself, or with a domain of the search
        list after it. NotFound as the C library's res_search() decides between several failures.
        """
        conf = self._read()
        complete = host.endswith(b".")
        first = last = None
        no_data = servfail = as_it_was = False
        names = [host + b"." + domain.strip(".").encode("ascii", "replace") for domain in conf.search]
        if complete or host.count(b".") >= conf.ndots:
            names.insert(0, host)
        else:
            names.append(host)
        if complete:
            del names[1:]
        for at, name in enumerate(names):
            plain = name.removesuffix(b".") == host.removesuffix(b".")  # the root may be in the list, too
            if plain and as_it_was:
                continue
            as_it_was = as_it_was or plain
            try:
                return ask(_name(name))
            except NotFound as failure:
                last = failure
                if plain and name is names[0]:
                    first = failure
                if failure.dead:
                    raise  # for other names, too
                if failure.why in (Why.TRY_AGAIN, Why.NO_RECOVERY) and not failure.servfail:
                    names[at + 1 :] = [host]  # the server cannot be asked such things: no more of them
                no_data = no_data or failure.why is Why.NO_DATA
                servfail = servfail or failure.servfail
        assert last is not None
        if first is not None:
            raise first
        if no_data or servfail:
            raise NotFound(Why.NO_DATA if no_data else Why.TRY_AGAIN)
        raise last

    def _addresses(self, name: dns.name.Name, families: list[int]) -> dict[int, Found]:
        """What is found, by family; at the same time if there are two. NotFound if nothing is."""
        types = {AF_INET: A, AF_INET6: AAAA}
        found: dict[int, Found] = {}
        failures: list[NotFound] = []

        def ask(family: int) -> None:
            try:
                here = self._query(name, types[family])
            except NotFound as failure:
                failures.append(failure)
            else:
                found[family] = here

        beside: list[Greenlet[None]] = []
        try:
            for family in families[1:]:
                if self._read().one_by_one:
                    ask(family)
                else:
                    beside.append(Greenlet.spawn(ask, family))
            ask(families[0])
            for greenlet in beside:
                greenlet.get()
        finally:
            for greenlet in beside:
                greenlet.kill(block=False)
        if found:
            return {family: found[family] for family in families if family in found}
        # The worst of two: a temporary failure says less than "there is none".
        raise min(failures, key=lambda failure: _ORDER.index(failure.why))

    def _pointers(self, address: str) -> list[str]:
        """The names of a numeric address. NotFound if there are none."""
        found = self._query(dns.reversename.from_address(address.partition("%")[0]), PTR)
        return found.values

    # -- one question to the servers -------------------------------------------------------------------------

    def _read(self) -> Conf:
        """The settings; if they have changed, what was known by the old servers is forgotten."""
        conf = self._file.read()
        if conf is not self._conf:
            self._conf = conf
            self._cache.flush()
            self._resolvers = [self._make(conf, edns) for edns in (True, False)]
        return conf

    def _make(self, conf: Conf, edns: bool) -> dns.asyncresolver.Resolver:
        made = dns.asyncresolver.Resolver(configure=False)
        servers = self._servers or conf.servers
        made.nameservers = [dns.nameserver.Do53Nameserver(*server) for server in servers]
        made.timeout = config.resolver_timeout or conf.timeout
        # As long as the C library takes to ask each of them so often, and no matter what is answered in
        # between.
        made.lifetime = made.timeout * conf.attempts * len(servers)
        made.rotate = conf.rotate
        made.cache = self._cache
        if edns:
            made.use_edns(0, 0, EDNS_PAYLOAD)
        return made

    def _query(self, name: dns.name.Name, rdtype: dns.rdatatype.RdataType) -> Found:
        """The records of a name that is complete. NotFound if there are none."""
        conf = self._read()
        modern, old = self._resolvers
        limit = Timeout(modern.lifetime)
        try:
            with limit:
                try:
                    answer = self._resolve(modern, name, rdtype, conf)
                except dns.resolver.NoNameservers as failure:
                    said = _said(failure)
                    if "FORMERR" not in said and "NOTIMP" not in said:
                        raise
                    answer = self._resolve(old, name, rdtype, conf)  # a server that does not know EDNS
        except Timeout as timeout:
            if timeout is not limit:
                raise
            raise NotFound(Why.TRY_AGAIN, dead=True) from None
        except dns.resolver.NXDOMAIN:
            raise NotFound(Why.NO_NAME) from None
        except dns.resolver.NoNameservers as failure:
            raise _reason(_said(failure)) from None
        except dns.resolver.YXDOMAIN:
            raise NotFound(Why.NO_RECOVERY) from None
        except dns.exception.DNSException:  # its own deadline
            raise NotFound(Why.TRY_AGAIN, dead=True) from None
        found = Found(name, answer)
        if not found.values:
            raise NotFound(Why.NO_DATA)
        return found

    def _resolve(
        self,
        resolver: dns.asyncresolver.Resolver,
        name: dns.name.Name,
        rdtype: dns.rdatatype.RdataType,
        conf: Conf,
    ) -> dns.resolver.Answer:
        return run(
            resolver.resolve(
                name, rdtype, tcp=conf.use_tcp, raise_on_no_answer=False, search=False, backend=self._backend
            )
        )


def _said(failure: dns.resolver.NoNameservers) -> list[object]:
    """What was got of the servers: errors that they answered, by name, and exceptions."""
    # (server, by TCP or not, port, error or name of an error, answer)
    return [error[3] for error in failure.kwargs["errors"]]


def _reason(said: list[object]) -> NotFound:
    words = [word for word in said if isinstance(word, str)]
    if any(isinstance(error, dns.message.ChainTooLong) for error in said):
        return NotFound(Why.NO_DATA)
    if not words or not set(words) <= {"SERVFAIL", "REFUSED", "NOTIMP"}:
        return NotFound(Why.NO_RECOVERY) if words else NotFound(Why.TRY_AGAIN, dead=True)
    return NotFound(Why.TRY_AGAIN, servfail="SERVFAIL" in words)


#: The graver of two failures first.
_ORDER = [Why.TRY_AGAIN, Why.NO_RECOVERY, Why.NO_DATA, Why.NO_NAME]

#: An address of each family, to find out whether the rest of a question makes sense.
_SAMPLES = {AF_INET: "192.0.2.1", AF_INET6: "2001:db8::1"}


def _has_address(family: int) -> bool:
    """Whether this machine has an address of the family other than loopback: what AI_ADDRCONFIG asks for."""
    try:
        _socket.getaddrinfo(_SAMPLES[family], None, family, SOCK_DGRAM, 0, AI_NUMERICHOST | AI_ADDRCONFIG)
    except gaierror:
        return False
    return True
