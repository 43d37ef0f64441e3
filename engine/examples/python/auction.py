#!/usr/bin/env python3
"""Sealed bids: a whole engine in one file, on Python's standard library."""

import hashlib
import hmac
import json
import os
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock

DESCRIPTION = {
    "contract": 1,
    "engine": "auction",
    "version": "1.0.0",
    "title": "Sealed bids",
    "summary": "A prize a turn for the highest secret bid. Equal bids win nothing, and the prize stays on the table.",
    "players": {"min": 2, "max": 6},
    "options_schema": {
        "type": "object",
        "properties": {"rounds": {"type": "integer", "minimum": 1, "maximum": 50, "default": 8}},
    },
    "order_schema": {
        "type": "object",
        "required": ["bid"],
        "properties": {"bid": {"type": "integer", "minimum": 0, "maximum": 20, "title": "Coins"}},
    },
    "capabilities": ["validate"],
    "examples": [{"seats": 2, "turns": [{"1": [{"bid": 7}], "2": [{"bid": 4}]}, {"1": [{"bid": 3}], "2": []}]}],
}
COINS = 20


class RefusedError(Exception):
    """The call was not done, and nothing changed."""

    def __init__(self, status, code, message):
        super().__init__(message)
        self.status, self.body = status, {"code": code, "message": message}


def draw(seed, turn):
    """Return the prize of a turn, 1 to 9: a hash of the seed, never a random generator."""
    return 1 + int.from_bytes(hashlib.sha256(f"{seed}/{turn}".encode(errors="replace")).digest()[:8], "big") % 9


def begin(seed, seats, options):
    """Return the state of a new game."""
    names = {row["seat"]: row["name"] for row in seats}
    rounds = options.get("rounds", 8)
    if not 2 <= len(seats) <= 6 or sorted(names) != list(range(1, len(seats) + 1)):
        raise RefusedError(422, "bad_seats", "2 to 6 seats, numbered from 1 without gaps.")
    if type(rounds) is not int or not 1 <= rounds <= 50:
        raise RefusedError(422, "bad_options", "`rounds` is a whole number from 1 to 50.")
    players = {str(seat): {"name": names[seat], "coins": COINS, "points": 0} for seat in sorted(names)}
    return {"turn": 0, "rounds": rounds, "prize": draw(seed, 0), "players": players}


def judge(state, seat, orders):
    """Return what is wrong with a set of orders; an empty list if nothing is."""
    if orders == []:
        return []
    bid = orders[0].get("bid") if isinstance(orders[0], dict) else None
    if len(orders) > 1:
        return [{"index": 1, "code": "too_many", "message": "One bid a turn."}]
    if type(bid) is not int or not 0 <= bid <= state["players"][seat]["coins"]:
        return [{"index": 0, "code": "bad_bid", "message": "A bid is a whole number from 0 to the coins you have."}]
    return []


def play(state, bids, seed):
    """Return the next state, and who won the prize (None where the highest bid was not alone)."""
    highest = max(bids.values(), default=0)
    best = [seat for seat, bid in sorted(bids.items()) if bid == highest > 0]
    winner = best[0] if len(best) == 1 else None
    players = {seat: dict(player) for seat, player in state["players"].items()}
    if winner:
        players[winner]["coins"] -= highest
        players[winner]["points"] += state["prize"]
    turn = state["turn"] + 1
    prize = draw(seed, turn) + (0 if winner else state["prize"])
    return {"turn": turn, "rounds": state["rounds"], "prize": prize, "players": players}, winner


def position(state, story):
    """Return the answer of init and turns."""
    players, over = state["players"], state["turn"] >= state["rounds"]
    points = {seat: player["points"] for seat, player in players.items()}
    best = [int(seat) for seat in players if points[seat] == max(points.values())]
    table = f"{story} {'The game is over.' if over else 'On the table: ' + str(state['prize']) + '.'}"
    private = {seat: {"text": f"{table} You have {player['coins']} coins."} for seat, player in players.items()}
    return {
        "turn": state["turn"],
        "state": state,
        "reports": private,
        "public_report": {"text": table, "data": {"points": points}},
        "awaiting": [] if over else [int(seat) for seat in players],
        "finished": over,
        "result": {"winners": best, "scores": points} if over else None,
    }


class Engine:
    """One game at a time: its state, the bids for it, and the last turn's answer."""

    def __init__(self):
        self.state, self.bids, self.last = None, {}, None

    def hold(self, state):
        """Replace everything, bids included."""
        self.state, self.bids, self.last = state, {}, None

    def expect(self, turn):
        """Refuse a call for a turn that the state is not at."""
        if self.state is None or turn != self.state["turn"] or turn >= self.state["rounds"]:
            raise RefusedError(409, "wrong_turn", "That turn is not open.")

    def init(self, body):
        """Begin a game."""
        state = begin(body["seed"], body["seats"], body["options"])
        answer = position(state, "The auction begins.")
        self.hold(state)
        return answer

    def load(self, body):
        """Load a snapshot."""
        if body["state"]["turn"] != body["turn"] or set(body["state"]) != {"turn", "rounds", "prize", "players"}:
            raise RefusedError(422, "bad_state", "This is not a snapshot of that turn.")
        self.hold(body["state"])
        return {}

    def validate(self, seat, body):
        """Judge a bid, and change nothing."""
        if self.state is None or seat not in self.state["players"]:
            raise RefusedError(404, "unknown_seat", "There is no such seat.")
        self.expect(body["turn"])
        errors = judge(self.state, seat, list(body["orders"]))
        return {"accepted": not errors, "errors": errors}

    def order(self, seat, body):
        """Replace the seat's bid, or refuse it and keep the former."""
        verdict = self.validate(seat, body)
        if verdict["accepted"]:
            self.bids[seat] = body["orders"][0]["bid"] if body["orders"] else 0
        return verdict

    def turn(self, body):
        """Run a turn; the one that was run last is answered again as it was."""
        if self.last and self.last[0] == body["turn"]:
            return self.last[1]
        self.expect(body["turn"])
        bids = {seat: bid for seat, bid in self.bids.items() if int(seat) not in body["absent"]}
        state, winner = play(self.state, bids, body["seed"])
        name = state["players"][winner]["name"] if winner else "Nobody"
        answer = position(state, f"{name} won the prize.")
        self.hold(state)
        self.last = body["turn"], answer
        return answer


LIMIT = 16 * 1024 * 1024 + 64 * 1024
TOKEN = os.environ.get("GALAXY_TOKEN", "")
engine, lock = Engine(), Lock()


def route(method, path, body):
    """Return the answer to a call."""
    calls = {("POST", "/v1/init"): engine.init, ("PUT", "/v1/state"): engine.load, ("POST", "/v1/turns"): engine.turn}
    if (method, path) == ("GET", "/healthz"):
        return {}
    if (method, path) == ("GET", "/v1/describe"):
        return DESCRIPTION
    if (method, path) in calls:
        return calls[method, path](json.loads(body))
    match method, path.split("/"):
        case "POST", ["", "v1", "seats", seat, "orders"]:
            return engine.order(seat, json.loads(body))
        case "POST", ["", "v1", "seats", seat, "validate"]:
            return engine.validate(seat, json.loads(body))
    raise RefusedError(404, "not_found", "The contract has no such call.")


class Handler(BaseHTTPRequestHandler):
    """Reads a request whole, and writes an answer in one piece."""

    protocol_version = "HTTP/1.1"
    timeout = 30  # a half request does not keep its thread for ever

    def answer(self):
        """Answer one request."""
        length = self.headers.get("Content-Length") or "0"
        given = self.headers.get("Authorization", "").encode()
        if not length.isdecimal() or int(length) > LIMIT:
            self.close_connection = True
            return self.write(413, {"code": "too_large", "message": "A body has at most 16 MiB."})
        body = self.rfile.read(int(length))
        if TOKEN and self.path != "/healthz" and not hmac.compare_digest(given, f"Bearer {TOKEN}".encode()):
            return self.write(401, {"code": "unauthorized", "message": "The token is missing or wrong."})
        try:
            with lock:
                status, value = 200, route(self.command, self.path, body)
        except RefusedError as refusal:
            status, value = refusal.status, refusal.body
        except (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError):
            status, value = 422, {"code": "bad_request", "message": "The body is not what the contract says."}
        return self.write(status, value)

    do_GET = do_POST = do_PUT = answer

    def write(self, status, value):
        """Write head and body in one piece: two small writes would cost 40 ms."""
        content = json.dumps(value, sort_keys=True).encode()
        head = f"HTTP/1.1 {status} .\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
        self.wfile.write(head.encode() + content)

    def log_message(self, *arguments):
        """Log nothing for each call."""


class Server(ThreadingHTTPServer):
    """A thread for each connection."""

    request_queue_size = 64


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    host = os.environ.get("GALAXY_LISTEN_HOST") or "0.0.0.0"
    Server((host, int(os.environ.get("PORT") or 8080)), Handler).serve_forever()
