"""A connection for each request: connect, one request, close; one JSON line.

The server and the load generator of echo.py, each with a word more: the server closes a connection after its
first answer, the load generator opens one for each request. In one case it makes them all while the server is
stopped, and what counts is how long that takes for what stands in its queue.
"""

from echo import measure, server_command, shape
from workload import parse, print_line

#: For the load generator, which polls: to wake it would be work for the server.
STANDING = ("awake", "standing", "{pid}")


def main() -> None:
    """Measure one case with one implementation."""
    options = parse("accept", None)
    command = server_command(options.implementation, "accept", options.case, "once")
    standing = options.case == "1000x64"
    words = STANDING if standing else ()
    values = measure(command, *shape(options.case), options.size, "fresh", *words)
    if standing:
        del values["p50_us"], values["p99_us"]  # of the time in which the server was stopped
    print_line("accept", options, values)


if __name__ == "__main__":
    main()
