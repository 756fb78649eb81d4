"""gRPC (grpcio) under patching: it waits in C, where no patching reaches, but can do so in other threads.

    from corolib import monkey
    monkey.patch_all()
    from corolib.ext.grpc import install
    install()

From then on a call of a stub, the answers of a stream, and a server's wait for requests hold up their own
greenlet only, and a native thread. Handlers of a server run in greenlets, since patching has made threads so.
The thread in which `grpc.aio` waits stays a native one.
"""

from typing import Any

from ..compat._grpc import Threads, wait_in

__all__ = ["install"]

#: A thread that waits costs little but its number: of what a process may have, these are a small part.
THREADS = 1000


def _cygrpc() -> Any:
    # Late: only those who use it have it.
    from grpc._cython import cygrpc

    return cygrpc


def install(threads: int = THREADS) -> None:
    """Have gRPC wait in greenlets: after patching, and before there are channels or servers.

    At most `threads` native threads per hub wait at the same time; what is beyond waits for its turn. A call
    keeps one until it is answered, all `future()` calls and streams of a channel together one, a server one,
    and all channels that are open one. Never switches. Cannot be taken back.

    ImportError without grpcio; TypeError or ValueError if `threads` is not a whole number of at least 1.
    """
    wait_in(Threads(threads), _cygrpc())
