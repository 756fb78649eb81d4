"""gRPC's calls of every kind from greenlets of a patched program.

    python use_grpc.py HOW PORT

HOW is "alias", which waits as gRPC does with gevent, or "adapter": corolib.ext.grpc. Without a port the
server is in this process.
"""

import sys

how, *port = sys.argv[1:]
if how == "alias":
    from gevent import monkey
else:
    from corolib import monkey
monkey.patch_all()

import time  # noqa: E402  # after patching

import grpc  # noqa: E402

import corolib  # noqa: E402

if how == "alias":
    from grpc.experimental.gevent import init_gevent

    init_gevent()
    # Those of the hub are ten, if nobody says otherwise.
    corolib.get_hub().threadpool.maxsize = 60
else:
    from corolib.ext.grpc import install

    install()
    assert "gevent" not in sys.modules, "it was there for that call only"

CROWD = 50
server = None
if not port:
    from grpc_server import serve

    server, *port = serve()
channel = grpc.insecure_channel(f"127.0.0.1:{port[0]}")
echo, together, refuse, never = (
    channel.unary_unary(f"/test/{name}") for name in ("echo", "together", "refuse", "never")
)


def refused(call, *arguments, **options):
    try:
        call(*arguments, **options)
    except grpc.RpcError as error:
        return f"{error.code().name} {error.details()}"


def requests(*numbers):
    for number in numbers:
        time.sleep(0.001)
        yield b"%d" % number


def crowd(call):
    """What comes of a crowd that is answered only when all of it has asked."""
    jobs = [corolib.spawn(call, b"%d" % number) for number in range(CROWD)]
    corolib.joinall(jobs, raise_error=True)
    return [int(job.value) for job in jobs] == list(range(CROWD))


print("echo", echo(b"x" * 1_000_000) == b"x" * 1_000_000)
print(refused(refuse, b"such"))
print(refused(never, b"", timeout=0.05).split()[0])
print([int(each) for each in channel.unary_stream("/test/count")(b"5")])
print(channel.stream_unary("/test/add")(requests(1, 2, 3)))
print(list(channel.stream_stream("/test/chat")(requests(1, 2))))
print("together", crowd(together))
print("futures", crowd(lambda request: together.future(request).result()))

# What is cut off is given up: its thread is free again.
for _ in range(10):
    with corolib.Timeout(0.01, False):
        never(b"")
        print("answered")
waiting = corolib.spawn(never, b"")
corolib.sleep(0.01)
waiting.kill()
print("killed", waiting.dead)
future = never.future(b"")
future.cancel()
print("cancelled", future.cancelled())
answers = channel.unary_stream("/test/count")(b"1000000")
next(answers)
answers.cancel()
print(refused(list, answers).split()[0])
print("together", crowd(together))

# Threads that have no greenlets, and threads that have some.
threads = [
    corolib.get_hub().threadpool.spawn(function)
    for function in (
        lambda: echo(b"plain"),
        lambda: corolib.joinall([corolib.spawn(echo, b"%d" % number) for number in range(3)])[2].get(),
    )
]
print([each.get() for each in threads])


# Credentials are made by a function of ours, which gRPC has called in a greenlet.
made_in = []


class Password(grpc.AuthMetadataPlugin):
    def __call__(self, context, callback):
        made_in.append(monkey.get_original("_thread", "get_ident")())
        time.sleep(0.001)
        callback((("password", "secret"),), None)


local = grpc.composite_channel_credentials(
    grpc.local_channel_credentials(), grpc.metadata_call_credentials(Password())
)
with grpc.secure_channel(f"127.0.0.1:{port[0]}", local) as secret:
    print(refused(secret.unary_unary("/test/echo"), b"", timeout=60) or "sent")
print("by a greenlet", made_in == [monkey.get_original("_thread", "get_ident")()])
if server is not None:
    channel.close()
    server.stop(0).wait()
# Another server's channel is left open: the process ends all the same.
