"""A seller of the market: an agent of the unmodified Authed SDK under FastAPI.

It takes what buyers say to it, and what it has agreed on it has the bank settle: Go
agents ask it, and it asks one, all by the types of messages. The system that starts it
gives it its credentials, the address to listen at (PANDO_LISTEN) and the others
(PANDO_PEERS) in the environment. A line of JSON with an "event" on stdout is shown as
what the agent says.
"""

import asyncio
import json
import logging
import os
import socket
import sys

import uvicorn
from authed import Authed, MessageType
from fastapi import FastAPI, WebSocket

NAME = "pia"
SHELF = 3  # units of each of its goods, in the beginning
MAX_ROUNDS, STEPS = 6, 4  # of a negotiation
HOLD, PATIENCE = 3, 20  # seconds that a thing is kept, and that the bank may be away


def say(text):
    print(json.dumps({"event": "says", "text": text}), flush=True)


class Refusal(Exception):
    """What the other side is told: a code that the protocol of the market names."""

    def __init__(self, code, text):
        super().__init__(text)
        self.code = code


class Bank:
    """Asks the bank. The SDK does not match answers to questions: one at a time."""

    def __init__(self, agent, peer):
        self.agent, self.id, self.url = agent, peer["agent_id"], peer["endpoint"]
        self.lock = asyncio.Lock()

    async def ask(self, kind, data):
        """Asks until there is an answer, also again: the bank may be away for a while."""
        loop = asyncio.get_running_loop()
        until, wait = loop.time() + PATIENCE, 0.05
        async with self.lock:
            while True:
                try:
                    return await asyncio.wait_for(self.once(kind, data), 5)
                except Refusal:
                    raise
                except Exception:
                    if loop.time() > until:
                        raise
                    self.agent.channels.clear()  # of a bank that has been killed
                await asyncio.sleep(wait)
                wait = min(2 * wait, 0.4)

    async def once(self, kind, data):
        channel = await self.agent.open_channel(self.id, self.url)
        sent = await self.agent.send_message(channel, kind, data)
        while True:
            message = await self.agent.receive_message(channel)
            if message["meta"].get("reply_to") == sent:
                content = message["content"]
                if content["type"] == MessageType.ERROR:
                    raise Refusal(content["data"].get("code", ""), content["data"].get("message", ""))
                return content["data"]


class Seller:
    """The same as the Go seller, in its words."""

    def __init__(self, goods, bank):
        self.goods, self.units, self.kept = goods, {}, {}
        self.agent = Authed.from_env().create_channel(
            handlers={"market.offer": self.answering(self.offer), "market.handshake": self.answering(self.handshake)}
        )
        self.bank = Bank(self.agent, bank)

    async def start(self):
        have = await self.bank.ask("bank.account", {"owner": NAME})
        for unit in have["units"]:
            self.units.setdefault(unit.split("/")[1], []).append(unit)
        if len(have["units"]) < SHELF * len(self.goods):
            say(f"still has {len(have['units'])} things to sell")

    def answering(self, handle):
        async def handler(message):
            try:
                return {"type": MessageType.RESPONSE, "data": await handle(message["content"]["data"])}
            except Refusal as refusal:
                return {"type": MessageType.ERROR, "data": {"code": refusal.code, "message": str(refusal)}}

        return handler

    async def offer(self, said):
        deal, item, number = said["deal"], said["item"], said["round"]
        if kept := self.kept.get(deal):
            return {"cents": kept["cents"], "agreed": True, "unit": kept["unit"]}
        if not self.units.get(item):
            raise Refusal("sold_out", "there is none left")
        if not 0 <= number < MAX_ROUNDS:
            raise Refusal("enough", "that was the last word")
        first, floor = self.goods[item]
        price = first - (first - floor) * min(number, STEPS) // STEPS
        if said["cents"] < price:
            return {"cents": price, "agreed": False, "unit": ""}
        unit = self.units[item].pop(0)
        self.kept[deal] = {"buyer": said["buyer"], "seller": NAME, "unit": unit, "cents": said["cents"]}
        loop = asyncio.get_running_loop()
        loop.call_later(HOLD, self.expire, deal)
        say(f"agrees with {said['buyer']} on {item} for {said['cents'] // 100}.{said['cents'] % 100:02d}")
        return {"cents": said["cents"], "agreed": True, "unit": unit}

    def expire(self, deal):
        kept = self.kept.get(deal)
        if kept and not kept.get("settles"):
            self.release(deal)
            say(f"keeps {kept['unit'].split('/')[1]} for {kept['buyer']} no longer")

    def release(self, deal):
        unit = self.kept.pop(deal)["unit"]
        self.units.setdefault(unit.split("/")[1], []).append(unit)

    async def handshake(self, said):
        deal = said["deal"]
        kept = self.kept.get(deal)
        if not kept or kept.get("settles"):
            raise Refusal("expired", "it is not kept any more")
        kept["settles"] = True
        wanted = {key: kept[key] for key in ("buyer", "seller", "unit", "cents")}
        try:
            sale = await self.bank.ask("bank.settle", wanted)
        except Refusal as refusal:
            if refusal.code == "not_owner":
                del self.kept[deal]  # sold in a former life
            else:
                self.release(deal)
            raise
        if sale["unit"] == kept["unit"]:
            del self.kept[deal]
        else:
            self.release(deal)  # the buyer has it from somebody else
        return sale


async def main():
    logging.disable(logging.CRITICAL)
    seller = Seller(json.loads(sys.argv[1]), json.loads(os.environ["PANDO_PEERS"])["bank"])
    await seller.start()
    app = FastAPI()

    @app.websocket("/ws")
    async def channel(websocket: WebSocket):
        await websocket.accept()
        await seller.agent.handle_websocket(websocket, "/ws")

    host, port = os.environ["PANDO_LISTEN"].rsplit(":", 1)
    listener = socket.create_server((host, int(port)))
    config = uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1)
    await uvicorn.Server(config).serve(sockets=[listener])


asyncio.run(main())
