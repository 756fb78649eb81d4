"""greenback: await in a function that is not async, by switching greenlets under the event loop."""

import asyncio

import greenback


def synchronous(number: int) -> int:
    for _ in range(3):
        greenback.await_(asyncio.sleep(0))
    return number


async def task(number: int) -> int:
    await greenback.ensure_portal()
    return synchronous(number)


async def main() -> None:
    print(await asyncio.gather(*map(task, range(5))))
    try:
        greenback.await_(asyncio.sleep(0))
    except RuntimeError as error:
        print(type(error).__name__)

    async def failing() -> None:
        raise ValueError("told")

    async def catching() -> str:
        await greenback.ensure_portal()
        try:
            greenback.await_(failing())
        except ValueError as error:
            return str(error)
        return "nothing"

    print(await asyncio.create_task(catching()))


asyncio.run(main())
