"""getaddrinfo() of what nobody has to be asked for, one JSON line."""

from importlib import import_module
from types import ModuleType

from workload import clock, main, per_unit


def looked_up(module: ModuleType, host: str, size: int) -> dict[str, float]:
    """One after the other, as a program asks that wants to connect."""
    getaddrinfo = module.getaddrinfo
    assert getaddrinfo(host, 80)[0][4][1] == 80
    started = clock()
    for _ in range(size):
        getaddrinfo(host, 80)
    return per_unit(started, size)


def numeric(package: ModuleType, size: int) -> dict[str, float]:
    """An address."""
    return looked_up(import_module(f"{package.__name__}.socket"), "127.0.0.1", size)


def localhost(package: ModuleType, size: int) -> dict[str, float]:
    """A name of the hosts file."""
    return looked_up(import_module(f"{package.__name__}.socket"), "localhost", size)


def numeric_plain(module: ModuleType, size: int) -> dict[str, float]:
    """The standard library's own function."""
    return looked_up(module, "127.0.0.1", size)


def localhost_plain(module: ModuleType, size: int) -> dict[str, float]:
    """The standard library's own function."""
    return looked_up(module, "localhost", size)


if __name__ == "__main__":
    main(
        "names",
        {
            ("numeric", "green"): numeric,
            ("localhost", "green"): localhost,
            ("numeric", "plain"): numeric_plain,
            ("localhost", "plain"): localhost_plain,
        },
    )
