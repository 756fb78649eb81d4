"""getaddrinfo() of what nobody has to be asked for, one JSON line."""

from collections.abc import Callable
from importlib import import_module
from types import ModuleType

from workload import Body, clock, main, per_unit

#: case -> what is looked up.
HOSTS = {"numeric": "127.0.0.1", "localhost": "localhost"}


def looked_up(getaddrinfo: Callable[..., list[tuple]], host: str, size: int) -> dict[str, float]:
    """One after the other, as a program asks that wants to connect."""
    assert getaddrinfo(host, 80)[0][4][1] == 80
    started = clock()
    for _ in range(size):
        getaddrinfo(host, 80)
    return per_unit(started, size)


def green(host: str) -> Body:
    """The function of the package's module `socket`."""
    return lambda package, size: looked_up(
        import_module(f"{package.__name__}.socket").getaddrinfo, host, size
    )


def ares(host: str) -> Body:
    """The same, with the resolver that is not a pool of threads."""

    def body(package: ModuleType, size: int) -> dict[str, float]:
        package.config.resolver = "ares"
        return green(host)(package, size)

    return body


def plain(host: str) -> Body:
    """The standard library's own function."""
    return lambda module, size: looked_up(module.getaddrinfo, host, size)


def coroutine(host: str) -> Body:
    """The method of an event loop."""

    def body(package: ModuleType, size: int) -> dict[str, float]:
        # Imported here since it is an implementation: the processes of the others must not have it.
        import asyncio

        async def work() -> dict[str, float]:
            getaddrinfo = asyncio.get_running_loop().getaddrinfo
            assert (await getaddrinfo(host, 80))[0][4][1] == 80
            started = clock()
            for _ in range(size):
                await getaddrinfo(host, 80)
            return per_unit(started, size)

        with asyncio.Runner(loop_factory=package.new_event_loop) as runner:
            return runner.run(work())

    return body


if __name__ == "__main__":
    styles = {"green": green, "ares": ares, "plain": plain, "coroutine": coroutine}
    main(
        "names",
        {(case, style): make(host) for case, host in HOSTS.items() for style, make in styles.items()},
    )
