"""A Python agent (the unmodified Authed SDK under FastAPI) that talks to a Pando agent.

It takes channels at /ws. GET /ask?text=... makes it ask its peer, the Pando agent, and
returns the answer. README.md says how to run the two.
"""

import argparse
import asyncio
import os
import socket
from contextlib import asynccontextmanager

import uvicorn
from authed import Authed, MessageType
from dotenv import load_dotenv
from fastapi import FastAPI, HTTPException, WebSocket

TIMEOUT = 10


async def answer(message):
    """Handles a request. The SDK does not verify who sends it."""
    text = message["content"]["data"]["text"]
    return {"type": MessageType.RESPONSE, "data": {"text": "Python has read: " + text, "from": "Python"}}


def application(agent, peer_id, peer_url):
    @asynccontextmanager
    async def lifespan(_):
        yield
        await agent.close_all_channels()

    app = FastAPI(lifespan=lifespan)
    asking = asyncio.Lock()  # the SDK does not match answers to questions

    async def ask_peer(text):
        # The same channel as last time, if it is still open.
        channel = await agent.open_channel(peer_id, peer_url)
        sent = await agent.send_message(channel, MessageType.REQUEST, {"text": text})
        while True:
            message = await agent.receive_message(channel)
            if message["meta"].get("reply_to") == sent:
                return message["content"]

    @app.websocket("/ws")
    async def channel(websocket: WebSocket):
        await websocket.accept()
        await agent.handle_websocket(websocket, "/ws")

    @app.get("/ask")
    async def ask(text: str = "hello from Python"):
        try:
            async with asking:
                content = await asyncio.wait_for(ask_peer(text), TIMEOUT)
        except Exception as error:
            raise HTTPException(502, str(error) or type(error).__name__)
        if content["type"] == MessageType.ERROR:
            raise HTTPException(502, content["data"]["message"])
        return content["data"]

    return app


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--env-file", default="python.env")
    parser.add_argument("--port", type=int, default=9002)
    parser.add_argument("--peer-id", required=True)
    parser.add_argument("--peer-url", required=True)
    options = parser.parse_args()
    load_dotenv(options.env_file)  # what is in the environment already goes first
    agent = Authed.from_env().create_channel(handlers={MessageType.REQUEST: answer})

    listener = socket.create_server(("127.0.0.1", options.port))
    port = listener.getsockname()[1]
    print(f"agent {os.environ['AUTHED_AGENT_ID']} listens on ws://127.0.0.1:{port}/ws", flush=True)
    uvicorn.Server(uvicorn.Config(application(agent, options.peer_id, options.peer_url), log_level="warning")).run([listener])


main()
