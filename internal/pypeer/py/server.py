"""An unmodified Authed SDK agent that listens, under FastAPI and uvicorn.

The agent's credentials come from the SDK's own environment variables. Once it
listens on 127.0.0.1 it writes one line to stdout, {"ready", "port", "versions"}. The
end of stdin ends the process, and so does SIGTERM.

Endpoints: WebSocket /ws for channels; GET /health, which counts the open ones.
"""

import argparse
import asyncio
import json
import logging
import socket
import sys

import uvicorn
from authed import Authed, MessageType
from fastapi import FastAPI, WebSocket
from versions import versions


async def echo(message):
    return {"type": MessageType.RESPONSE, "data": message["content"]["data"]}


async def slow(message):
    await asyncio.sleep(message["content"]["data"].get("seconds", 0.2))
    return await echo(message)


async def custom(message):
    return {"type": "task.done", "data": message["content"]["data"]}


async def fail(message):
    raise RuntimeError("deliberate failure")


async def silent(message):
    return None


# MessageType.REQUEST is left to the SDK's own handler, which echoes data.text.
HANDLERS = {"echo": echo, "slow": slow, "task.start": custom, "fail": fail, "silent": silent}


def application():
    agent = Authed.from_env().create_channel(handlers=dict(HANDLERS))
    app = FastAPI()

    @app.websocket("/ws")
    async def channel(websocket: WebSocket):
        await websocket.accept()
        await agent.handle_websocket(websocket, "/ws")

    @app.get("/health")
    async def health():
        return {"status": "ok", "channels": len(agent.ws_handler.active_connections)}

    return app


class Server(uvicorn.Server):
    """Announces the port once it listens; leaves when nobody holds its stdin."""

    async def startup(self, sockets=None):
        await super().startup(sockets)
        asyncio.get_running_loop().add_reader(sys.stdin.fileno(), self.leave)
        port = sockets[0].getsockname()[1]
        sys.stdout.write(json.dumps({"ready": True, "port": port, "versions": versions()}) + "\n")
        sys.stdout.flush()

    def leave(self):
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
        self.should_exit = True


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--ping-interval", type=float, default=20.0)
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    listener = socket.create_server(("127.0.0.1", options.port))
    config = uvicorn.Config(
        application(),
        log_level="warning",
        ws_ping_interval=options.ping_interval,
        timeout_graceful_shutdown=1,
    )
    Server(config).run(sockets=[listener])


main()
