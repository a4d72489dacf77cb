"""The world around the model, as one pod: its tables, its clients, and the day it changes.

GET /state tells the counters of the last minute; POST /recalibrate changes the instrument for good.
"""

import asyncio
import itertools
import json
import os
from collections.abc import Iterator

import boto3
import pandas as pd
from hack.demo.world import tables
from hack.demo.world.clients import Bounds, Case, Clients

CONTROL_PORT = 8099


class World:
    """The instrument, and what it measures."""

    def __init__(self, bucket: str) -> None:
        self._bucket = bucket
        self._store = boto3.client("s3")
        self._cases = _cases(tables.held_out())
        self.is_recalibrated = False

    def fill_store(self) -> None:
        for key, table in tables.stored().items():
            self._put(key, table)

    def recalibrate(self) -> None:
        """From now on the new instrument measures: the traffic, and the rows to learn from."""
        if self.is_recalibrated:
            return
        self._put("fresh.csv", tables.fresh())
        self._cases = _cases(tables.recalibrated(tables.held_out()))
        self.is_recalibrated = True

    def next_case(self) -> Case:
        return next(self._cases)

    def _put(self, key: str, table: pd.DataFrame) -> None:
        body = table.to_csv(index=False).encode()
        self._store.put_object(Bucket=self._bucket, Key=f"tables/{key}", Body=body)


def _cases(table: pd.DataFrame) -> Iterator[Case]:
    """The rows as requests, over and over."""
    features = table.drop(columns=tables.TARGET)
    rows = zip(features.to_numpy().tolist(), table[tables.TARGET].astype(str), strict=True)
    shape = [1, features.shape[1]]
    return itertools.cycle(
        Case(
            json.dumps(
                {"inputs": [{"name": "rows", "shape": shape, "datatype": "FP64", "data": row}]}
            ).encode(),
            label,
        )
        for row, label in rows
    )


async def _control(world: World, clients: Clients) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        method, target, _ = head.split(" ", 2)
        if (method, target) == ("POST", "/recalibrate"):
            await asyncio.to_thread(world.recalibrate)
        state = {"recalibrated": world.is_recalibrated, **clients.state()}
        body = json.dumps(state).encode()
        head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n"
        writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, port=CONTROL_PORT) as server:
        await server.serve_forever()


async def _run() -> None:
    environment = os.environ
    world = World(environment["WORLD_BUCKET"])
    world.fill_store()
    model = environment["WORLD_MODEL"]
    bounds = Bounds(
        rate=float(environment["WORLD_RATE"]),
        requests=int(environment["WORLD_MAX_REQUESTS"]),
        seconds=float(environment["WORLD_MAX_SECONDS"]),
    )
    clients = Clients(model, f"/v2/models/{model}/infer", bounds, world.next_case)
    control = asyncio.create_task(_control(world, clients))
    await clients.run()
    # The counters can still be read after the last request, but not for ever.
    await asyncio.sleep(bounds.seconds)
    control.cancel()


if __name__ == "__main__":
    asyncio.run(_run())
