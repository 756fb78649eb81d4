"""Many at once: nothing is lost when thousands of greenlets talk over real sockets."""

import pytest
from helpers import run_isolated


@pytest.mark.hang_after(180)
def test_nine_thousand_greenlets_with_a_socket_pair_each_lose_no_byte():
    """A ring: greenlet i holds pair i, writes to pair i + 1 and reads from its own; all at the same time."""
    done = run_isolated(
        """
        import resource
        from corolib import joinall, spawn
        from corolib.socket import SHUT_WR, socketpair

        COUNT, ROUNDS = 9_000, 5
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        need = 2 * COUNT + 100
        if soft < need:
            resource.setrlimit(resource.RLIMIT_NOFILE, (need, max(hard, need)))

        pairs = [socketpair() for _ in range(COUNT)]

        def message(number, turn):
            return b"%d:%d;" % (number, turn) + bytes([number % 251]) * (turn * 37 + number % 50)

        def talk(number):
            out, own = pairs[(number + 1) % COUNT][0], pairs[number][1]
            before = (number - 1) % COUNT
            for turn in range(ROUNDS):
                out.sendall(message(number, turn))
                expected = message(before, turn)
                got = b""
                while len(got) < len(expected):
                    part = own.recv(len(expected) - len(got))
                    assert part, (number, turn, got)
                    got += part
                assert got == expected, (number, turn)
            out.shutdown(SHUT_WR)
            assert own.recv(1) == b""
            return ROUNDS

        jobs = [spawn(talk, number) for number in range(COUNT)]
        joinall(jobs, raise_error=True)
        print(sum(job.value for job in jobs))
        """,
        timeout=170,
    )
    assert done.stdout.split() == [str(9_000 * 5)]
