"""TCP line to a port of this machine on which every byte takes a while, for a distant server.

    python -m benchmarks.delayed TARGET_PORT PORT MILLISECONDS

Each direction takes half of the round trip. The line has no other limit: it holds what is under
way, as a long cable does.
"""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from tests.helpers.servers import free_port, running

READ_BYTES = 1 << 20
UNDER_WAY_BYTES = 64 << 20


@contextmanager
def delayed(target: int, milliseconds: int) -> Iterator[int]:
    """Run a delayed line to a port in a process of its own; yield the line's port."""
    port = free_port()
    module = [sys.executable, "-m", "benchmarks.delayed"]
    with running([*module, str(target), str(port), str(milliseconds)], port):
        yield port


async def _serve(target: int, port: int, one_way: float) -> None:
    server = await asyncio.start_server(partial(_relay, target, one_way), "127.0.0.1", port)
    await server.serve_forever()


async def _relay(
    target: int, one_way: float, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    to_server = await asyncio.open_connection("127.0.0.1", target)
    await asyncio.gather(
        _direction(reader, to_server[1], one_way), _direction(to_server[0], writer, one_way)
    )


async def _direction(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, one_way: float
) -> None:
    """Pass on what arrives, each piece after its time; an end is passed on like a piece."""
    loop = asyncio.get_running_loop()
    pieces: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(UNDER_WAY_BYTES // READ_BYTES)

    async def receive() -> None:
        data = b"begin"
        while data:
            try:
                data = await reader.read(READ_BYTES)
            except ConnectionError:
                data = b""
            await pieces.put((loop.time() + one_way, data))

    receiving = asyncio.create_task(receive())
    while True:
        due, data = await pieces.get()
        await asyncio.sleep(due - loop.time())
        if not data:
            break
        writer.write(data)
        try:
            await writer.drain()
        except ConnectionError:
            break
    receiving.cancel()
    writer.close()


if __name__ == "__main__":
    target_port, own_port, delay = (int(argument) for argument in sys.argv[1:])
    asyncio.run(_serve(target_port, own_port, delay / 2000))
