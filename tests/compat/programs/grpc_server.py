"""A gRPC server of plain threads; writes its port, and ends with its stdin. Messages are plain bytes."""

import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import grpc

CROWD = 50
everybody = threading.Barrier(CROWD)


def echo(request, context):
    return request


def slow(request, context):
    time.sleep(0.1)
    return request


def together(request, context):
    """Answers none until there are as many calls as make a crowd."""
    everybody.wait()
    return request


def refuse(request, context):
    context.abort(grpc.StatusCode.NOT_FOUND, f"no {request.decode()} here")


def never(request, context):
    """Ends when the caller gives up."""
    gone = threading.Event()
    if context.add_callback(gone.set):
        gone.wait()
    return request


def count(request, context):
    for number in range(int(request)):
        yield b"%d" % number


def add(requests, context):
    return b"%d" % sum(map(int, requests))


def chat(requests, context):
    for request in requests:
        yield request + b"!"


def serve():
    """A server that has begun, and its port."""
    server = grpc.server(ThreadPoolExecutor(4 * CROWD))
    handlers = {
        function.__name__: kind(function)
        for kind, functions in {
            grpc.unary_unary_rpc_method_handler: (echo, slow, together, refuse, never),
            grpc.unary_stream_rpc_method_handler: (count,),
            grpc.stream_unary_rpc_method_handler: (add,),
            grpc.stream_stream_rpc_method_handler: (chat,),
        }.items()
        for function in functions
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, port


if __name__ == "__main__":
    server, port = serve()
    print(port, flush=True)
    sys.stdin.read()
    server.stop(0).wait()
