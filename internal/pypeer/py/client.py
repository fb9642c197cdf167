"""An unmodified Authed SDK agent that dials, steered over stdin and stdout.

The agent's credentials come from the SDK's own environment variables. Each line
on stdin is a command, {"id", "op", "timeout", ...}; each line on stdout its answer,
{"id", "ok": true, "result"} or {"id", "ok": false, "error_type", "error"}. Commands run
concurrently and none runs longer than its timeout in seconds. The first line on
stdout tells that the agent is ready. The end of stdin ends the process.
"""

import asyncio
import json
import logging
import sys
import time

from authed import Authed
from versions import versions

MAX_LINE = 64 << 20


class Agent:
    """The SDK agent and the channels that it has opened, by channel id."""

    def __init__(self):
        self.sdk = Authed.from_env()
        self.wrapper = self.sdk.create_channel()
        self.channels = {}
        self.locks = {}

    async def open(self, target, url, heartbeat):
        channel = await self.wrapper.open_channel(target, url, heartbeat_interval=heartbeat)
        self.channels[channel.channel_id] = channel
        self.locks.setdefault(channel.channel_id, asyncio.Lock())
        return channel.channel_id

    async def send(self, channel, type, data, reply_to=None, plain=False):
        if plain:  # the wrapper would add a timestamp to the data
            return await self.channels[channel].send_message(type, json.loads(data), reply_to)
        return await self.wrapper.send_message(self.channels[channel], type, json.loads(data), reply_to)

    async def receive(self, channel):
        return await self.wrapper.receive_message(self.channels[channel])

    async def request(self, channel, type, data, plain=False):
        # The SDK does not match answers to requests: one at a time, and what
        # answers something else is dropped, as its test agents would.
        async with self.locks[channel]:
            sent = await self.send(channel, type, data, plain=plain)
            while True:
                message = await self.receive(channel)
                if message["meta"].get("reply_to") == sent:
                    return message

    async def round_trips(self, channel, count, type, data):
        started = time.perf_counter()
        for _ in range(count):
            await self.request(channel, type, data)
        return time.perf_counter() - started

    async def close(self, channel, reason):
        await self.wrapper.close_channel(self.channels[channel], reason)

    async def connected(self, channel):
        return self.channels[channel].is_connected

    async def token(self, target):
        return await self.sdk.auth.get_interaction_token(target)

    async def protect(self, method, url, target):
        return await self.sdk.auth.protect_request(method, url, target)

    async def verify(self, method, url, headers):
        return await self.sdk.auth.verify_request(method, url, headers)


OPERATIONS = (
    Agent.open, Agent.send, Agent.receive, Agent.request, Agent.round_trips, Agent.close,
    Agent.connected, Agent.token, Agent.protect, Agent.verify,
)


def emit(answer):
    sys.stdout.write(json.dumps(answer, allow_nan=False) + "\n")
    sys.stdout.flush()


async def execute(agent, operations, command):
    number, timeout = command.pop("id"), command.pop("timeout")
    try:
        operation = operations[command.pop("op")]
        result = await asyncio.wait_for(operation(agent, **command), timeout)
        emit({"id": number, "ok": True, "result": result})
    except Exception as error:
        emit({"id": number, "ok": False, "error_type": type(error).__name__, "error": str(error)})


async def main():
    agent = Agent()
    operations = {operation.__name__: operation for operation in OPERATIONS}
    stdin = asyncio.StreamReader(limit=MAX_LINE)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stdin), sys.stdin)
    emit({"ready": True, "versions": versions()})
    running = set()
    while line := await stdin.readline():
        task = asyncio.create_task(execute(agent, operations, json.loads(line)))
        running.add(task)
        task.add_done_callback(running.discard)
    for task in running:
        task.cancel()
    await agent.wrapper.close_all_channels()


logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
asyncio.run(main())
