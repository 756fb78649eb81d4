"""A connection for each request: connect, one request, close; one JSON line.

The server and the load generator of echo.py, each with a word more: the server closes a connection after its
first answer, the load generator opens one for each request.
"""

from echo import measure, server_command, shape
from workload import parse, print_line


def main() -> None:
    """Measure one case with one implementation."""
    options = parse("accept", None)
    command = server_command(options.implementation, "accept", options.case, "once")
    print_line("accept", options, measure(command, *shape(options.case), options.size, "fresh"))


if __name__ == "__main__":
    main()
