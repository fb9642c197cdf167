"""A searcher of the research team in Python: the unmodified Authed SDK under FastAPI.

It answers messages of the type "research.search" as the searcher in Go does, from the
same documents. The system that starts it gives it its credentials and the address to
listen at (PANDO_LISTEN) in the environment. A line of JSON with an "event" on stdout
is shown as what the agent says.
"""

import argparse
import asyncio
import json
import os
import pathlib
import re
import socket

import uvicorn
from authed import Authed, MessageType
from fastapi import FastAPI, WebSocket

STOP_WORDS = set(
    "about and are can does for from how its most not that the their them they this"
    " what when where which who why will with".split()
)
MOST = 3


def read(folder):
    """The documents, sorted by name, each with its sentences."""
    documents = []
    for path in sorted(pathlib.Path(folder).glob("*.txt")):
        _, body = path.read_text(encoding="utf-8").split("\n\n", 1)
        sentences = [s.removesuffix(".") + "." for s in body.strip().split(". ")]
        documents.append((path.stem, sentences))
    return documents


def terms(text):
    """The words that say something, without endings."""
    found = set()
    for word in re.findall(r"[^\W\d_]+", text.lower()):
        if len(word) < 3 or word in STOP_WORDS:
            continue
        for ending in ("ing", "ed", "es", "s"):
            if word.endswith(ending) and len(word) - len(ending) >= 4:
                word = word.removesuffix(ending)
                break
        found.add(word)
    return found


def search(documents, query):
    """The sentences that share the most words with the query."""
    wanted, best, claims = terms(query), 1, []
    for name, sentences in documents:
        for sentence in sentences:
            shared = len(wanted & terms(sentence))
            if shared > best:
                best, claims = shared, []
            if shared == best and len(claims) < MOST:
                claims.append({"part": query, "text": sentence, "document": name})
    return claims


def say(text):
    print(json.dumps({"event": "says", "text": text}), flush=True)


def application(documents, pace):
    async def answer(message):
        """Handles a search. The SDK does not verify who sends it."""
        query = message["content"]["data"]["query"]
        say(f'looks up "{query}" in Python')
        await asyncio.sleep(pace)
        claims = search(documents, query)
        say(f'found {len(claims)} sentences for "{query}"')
        return {"type": MessageType.RESPONSE, "data": {"claims": claims}}

    agent = Authed.from_env().create_channel(handlers={"research.search": answer})
    app = FastAPI()

    @app.websocket("/ws")
    async def channel(websocket: WebSocket):
        await websocket.accept()
        await agent.handle_websocket(websocket, "/ws")

    return app


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--documents", default="research/documents")
    parser.add_argument("--pace", type=float, default=0.4, help="seconds that a search takes")
    options = parser.parse_args()
    host, port = os.environ["PANDO_LISTEN"].rsplit(":", 1)
    app = application(read(options.documents), options.pace)
    listener = socket.create_server((host, int(port)))
    uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1)).run([listener])


main()
