"""grpc.aio in a greenlet of a patched program, beside calls that block: python use_grpc_aio.py PORT"""

from corolib import monkey

monkey.patch_all()

import asyncio  # noqa: E402  # after patching
import sys  # noqa: E402

import grpc  # noqa: E402
import grpc.aio  # noqa: E402

import corolib  # noqa: E402
from corolib.ext.grpc import install  # noqa: E402

install()
CROWD = 50
address = f"127.0.0.1:{sys.argv[1]}"


async def use():
    async with grpc.aio.insecure_channel(address) as channel:
        together = channel.unary_unary("/test/together")
        calls = [together(b"%d" % number) for number in range(CROWD // 2)]
        answers = await asyncio.gather(*calls)
        print("a task's", [int(each) for each in answers] == list(range(CROWD // 2)))
        print([each async for each in channel.unary_stream("/test/count")(b"3")])
        try:
            await channel.unary_unary("/test/never")(b"", timeout=0.05)
        except grpc.aio.AioRpcError as error:
            print(error.code().name)


async def serve():
    async def slow(request, context):
        await asyncio.sleep(0.001)
        return request + b"!"

    server = grpc.aio.server()
    handlers = {"slow": grpc.unary_unary_rpc_method_handler(slow)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        print(await channel.unary_unary("/test/slow")(b"served"))
    await server.stop(None)


# Half of what the server waits for comes from here, half from the event loop.
tasks = corolib.spawn(asyncio.run, use())
with grpc.insecure_channel(address) as channel:
    together = channel.unary_unary("/test/together")
    calls = [corolib.spawn(together, b"x") for _ in range(CROWD // 2)]
    corolib.joinall([tasks, *calls], raise_error=True)
    print("greenlets'", {each.value for each in calls})
asyncio.run(serve())
