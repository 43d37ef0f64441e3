"""A small conforming engine for three or four players, and, with FAULT set, the same with one fault.

Each turn a seat may grow, hit another seat, or say something that only it reads. After two turns the weakest seat is
out, after six the game is over.
"""

import hashlib
import json
import os
import random
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer

FAULT = os.environ.get("FAULT", "")
TOKEN = os.environ.get("GALAXY_TOKEN", "")
LARGEST = 16 * 1024 * 1024
DESCRIBE = {
    "contract": 1,
    "engine": "small",
    "version": "1.0.0",
    "players": {"min": 3, "max": 4},
    "options_schema": {"type": "object", "properties": {"bonus": {"type": "integer"}}},
    "order_schema": {
        "oneOf": [
            {
                "type": "object",
                "properties": {"order": {"const": "say"}, "text": {"type": "string"}},
                "required": ["order", "text"],
            }
        ]
    },
    "capabilities": ["validate", "options", "suggest", "bundle"],
}


BREAKING = ("rubbish_breaks", "options_break", "vacant_breaks", "seat_breaks")


class Refused(Exception):
    def __init__(self, status, code):
        self.status, self.code = status, code


class Game:
    """What the engine holds: a state, the orders of the turn, the last answer."""

    turn = None
    state = None
    last = (None, None)
    played = 0

    def __init__(self):
        self.orders = {}

    def init(self, ask):
        seats = [entry["seat"] for entry in ask["seats"]]
        if not 3 <= len(seats) <= 4 and FAULT != "any_seats":
            raise Refused(422, "seats")
        bonus = ask["options"].get("bonus", 0) if isinstance(ask["options"], dict) else None
        if not isinstance(bonus, int) or isinstance(bonus, bool):
            if FAULT == "options_break":
                raise KeyError("bonus")
            raise Refused(422, "options")
        if FAULT == "strict_init" and "k34_unknown_member" in ask:
            raise Refused(422, "unknown_member")
        if FAULT == "ignores_seed":
            ask["seed"] = "always"
        state = {
            "game": ask["game_id"],
            "points": {str(s): dice(ask["seed"], s) + bonus for s in seats},
            "out": [],
            "log": [],
        }
        state["log"] = [dice(ask["seed"], f"log{n}") for n in range(80)]
        if FAULT == "random_init":
            state["log"][0] = random.randrange(10**9)
        MEMORY["game"] = state["game"]
        self.load({"turn": 0, "state": state})
        return self.position([])

    def load(self, ask):
        if not isinstance(ask["state"], dict):
            raise Refused(422, "state")
        self.turn, self.state, self.last = ask["turn"], ask["state"], (None, None)
        if FAULT != "orders_survive_load":
            self.orders = {}
        if FAULT == "counter_since_load":
            self.played = 0

    def seats(self):
        return sorted(map(int, self.state["points"]))

    def judge(self, seat, ask):
        """Return the errors of a set."""
        if seat not in self.seats():
            raise Refused(404, "seat")
        if ask["turn"] != self.turn:
            if FAULT == "wrong_turn_is_400":
                raise Refused(400, "turn")
            if FAULT != "any_turn":
                raise Refused(409, "turn")
        if self.turn >= 6 and FAULT not in ("goes_on", "never_ends"):
            raise Refused(409, "over")
        if not isinstance(ask["orders"], list):
            raise Refused(400, "orders")
        if seat in self.state["out"] and ask["orders"]:
            return [{"index": None, "code": "out", "message": "You are out."}]
        return [
            {"index": index, "code": "unknown", "message": "Unknown order."}
            for index, order in enumerate(ask["orders"])
            if not self.legal(seat, order)
        ]

    def legal(self, seat, order):
        if FAULT == "rubbish_breaks" and not isinstance(order, dict):
            raise TypeError(order)
        if not isinstance(order, dict):
            return False
        if order.get("order") == "say":
            return isinstance(order.get("text"), str) and len(order["text"]) <= 200
        return order in self.choices(seat)

    def choices(self, seat):
        others = [other for other in self.seats() if other != seat and other not in self.state["out"]]
        return [{"order": "grow"}, *({"order": "hit", "seat": other} for other in others)]

    def order(self, seat, ask):
        errors = self.judge(seat, ask)
        if errors and FAULT == "refused_clears":
            self.orders.pop(seat, None)
        if FAULT == "sets_add_up" and not errors:
            self.orders[seat] = self.orders.get(seat, []) + ask["orders"]
        elif not errors:
            self.orders[seat] = ask["orders"]
        if errors and FAULT == "strict_orders":
            raise Refused(422, errors[0]["code"])
        return {"accepted": not errors, "errors": errors}

    def validate(self, seat, ask):
        errors = self.judge(seat, ask)
        if FAULT == "validate_disagrees" and len(ask["orders"]) > 1:
            errors = []
        if FAULT == "validate_posts" and not errors:
            self.orders[seat] = ask["orders"]
        if errors and FAULT == "strict_orders":
            raise Refused(422, errors[0]["code"])
        return {"accepted": not errors, "errors": errors, "forecast": {"points": 1}}

    def options(self, seat, ask):
        if seat not in self.seats():
            raise Refused(404, "seat")
        choices = [] if seat in self.state["out"] else self.choices(seat)
        if FAULT == "offers_too_much":
            choices = [*choices, {"order": "win"}]
        return {"turn": self.turn, "orders": choices, "complete": True}

    def suggest(self, seat, ask):
        if seat not in self.seats():
            raise Refused(404, "seat")
        if FAULT == "suggest_changes":
            self.state["log"][5] += 1
        choice = self.choices(seat)[dice(ask.get("seed", ""), seat) % 2]
        if FAULT == "suggest_random":
            choice = {"order": "say", "text": str(random.random())}
        return {"turn": self.turn, "orders": [choice]}

    def turns(self, ask):
        if "state" in ask:
            self.load({"turn": ask["turn"], "state": ask["state"]})
            if FAULT != "bundle_forgets_orders":
                self.orders = {int(seat): orders for seat, orders in ask["orders"].items()}
        if ask["turn"] == self.last[0]:
            if FAULT == "no_repeat":
                raise Refused(409, "turn")
            return self.last[1]
        if ask["turn"] != self.turn or (self.turn >= 6 and FAULT != "never_ends"):
            raise Refused(409, "turn")
        if ask["absent"] and FAULT == "absent_unknown":
            raise Refused(422, "orders_missing")
        MEMORY.update(dict.fromkeys(["vacant"] if "vacant" in ask else []))
        if ask.get("vacant") and FAULT == "vacant_breaks":
            raise KeyError("vacant")
        if FAULT == "strict_turn" and "k34_unknown_member" in ask:
            raise Refused(400, "unknown_member")
        said = self.adjudicate(ask)
        self.turn += 1
        self.played += 1
        if FAULT != "orders_kept":
            self.orders = {}
        position = self.position(said)
        self.last = (ask["turn"], position)
        return position

    def adjudicate(self, ask):
        points, said = self.state["points"], []
        order = list(self.orders) if FAULT == "posting_order_matters" else sorted(self.orders)
        for place, seat in enumerate(order):
            for each in self.orders[seat]:
                if each["order"] == "grow":
                    points[str(seat)] += (
                        1 + dice(ask["seed"], seat) % 3 + (place if FAULT == "posting_order_matters" else 0)
                    )
                elif each["order"] == "hit":
                    points[str(each["seat"])] -= 1
                else:
                    said.append([seat, each["text"]])
        for seat in ask["absent"]:
            points[str(seat)] += 1
        for seat in ask.get("vacant", []):
            points[str(seat)] -= 1
        self.state["log"] = [*self.state["log"][1:], dice(ask["seed"], "log")]
        if self.turn == 1:
            weakest = min(self.seats(), key=lambda seat: (points[str(seat)], seat))
            self.state["out"] = [weakest]
        if FAULT == "eliminated_returns" and self.turn == 3:
            self.state["out"] = []
        self.disturb()
        return said

    def disturb(self):
        """Do to the state what a faulty engine does."""
        if FAULT == "random_state":
            self.state["log"][0] = random.randrange(10**9)
        elif FAULT == "clock":
            self.state["log"][0] = time.time_ns()
        elif FAULT in ("counter", "counter_since_load"):
            self.state["log"][0] = self.played
        elif FAULT == "hash_order":
            self.state["log"][:3] = [len(word) for word in frozenset(("a", "bb", "ccc", "dddd", "eeeee"))][:3]
        elif FAULT == "locale":
            self.state["log"][0] = len(os.environ["TZ"])
        elif FAULT == "memory_of_init":
            self.state["log"][0] = MEMORY.get("game") == self.state["game"]
        elif FAULT == "only_after_init":
            self.state["log"][0] = "init" in CALLS
        elif FAULT == "state_grows":
            self.state.setdefault("ballast", []).append("x" * 100_000)

    def position(self, said):
        out, over = self.state["out"], self.turn >= 6 and FAULT != "never_ends"
        reports = {
            str(seat): {"text": f"Turn {self.turn}. You have {self.state['points'][str(seat)]}."}
            for seat in self.seats()
        }
        for seat, text in said:
            for reader in self.seats() if FAULT == "leak" else [seat]:
                reports[str(reader)]["text"] += f" Said: {text}"
        if FAULT == "report_missing":
            reports = {seat: report for seat, report in reports.items() if int(seat) not in out}
        if FAULT == "state_in_report":
            reports["2"]["data"] = {"debug": self.state}
        if FAULT == "state_in_part_in_report":
            reports["2"]["data"] = {"recent": self.state["log"][10:70]}
        if FAULT == "report_for_four_missing" and len(self.seats()) == 4:
            del reports["4"]
        if FAULT == "state_as_text_in_report":
            reports["2"]["text"] += json.dumps(self.state)
        awaiting = [seat for seat in self.seats() if seat not in out and not over]
        if FAULT == "awaits_eliminated":
            awaiting = self.seats()
        if FAULT == "awaits_nobody":
            awaiting = []
        best = max(self.state["points"].values())
        winners = [seat for seat in self.seats() if self.state["points"][str(seat)] == best]
        result = {"winners": winners} if over else None
        if FAULT == "no_result":
            result = None
        if FAULT == "stranger_wins" and over:
            result = {"winners": [9]}
        turn = self.turn + (FAULT == "turn_number_jumps" and self.turn == 5)
        return {
            "turn": turn,
            "state": self.state,
            "reports": reports,
            "public_report": {"text": f"Turn {self.turn}: {len(self.seats()) - len(out)} are in."},
            "awaiting": awaiting,
            "phase": "move",
            "eliminated": out,
            "finished": over,
            "result": result,
        }


def dice(seed, what):
    return int(hashlib.sha256(f"{seed}/{what}".encode()).hexdigest()[:4], 16)


GAME, LOCK, MEMORY, CALLS = Game(), threading.RLock(), {}, set()


def respond(path, authorization, body):
    """Return status and document of an answer."""
    if path == "/healthz":
        if FAULT == "dies_afterwards" and "vacant" in MEMORY:
            os._exit(3)
        return (503 if FAULT == "never_healthy" else 200), {}
    if TOKEN and FAULT != "no_token" and authorization != f"Bearer {TOKEN}":
        return (500 if FAULT == "token_breaks" else 401), {"code": "token"}
    try:
        with LOCK:
            return 200, dispatch(path, json.loads(body) if body else {})
    except Refused as refused:
        return refused.status, {"code": refused.code}
    except (ValueError, RecursionError):
        if FAULT == "deep_kills":
            os._exit(1)
        return 400, {"code": "broken"}
    except (KeyError, TypeError):
        return (500 if FAULT in BREAKING else 400), {"code": "broken"}


def dispatch(path, ask):
    call = path.split("/")[2:]
    CALLS.add(call[0])
    if call == ["describe"]:
        return describe()
    if call == ["init"]:
        return GAME.init(ask)
    if call == ["state"]:
        return GAME.load(ask) or {}
    if call == ["turns"]:
        return GAME.turns(ask)
    if len(call) == 3 and call[0] == "seats" and call[2] in ("orders", "validate", "options", "suggest"):
        if not call[1].isdigit():
            raise TypeError if FAULT == "seat_breaks" else Refused(404, "seat")
        seat = 1 if FAULT == "any_seat" and not 1 <= int(call[1]) <= 4 else int(call[1])
        return getattr(GAME, "order" if call[2] == "orders" else call[2])(seat, ask)
    raise Refused(404, "path")


def describe():
    document = dict(DESCRIBE)
    if FAULT == "min_above_max":
        document["players"] = {"min": 4, "max": 3}
    if FAULT == "schema_is_none":
        document["options_schema"] = {"type": "objekt"}
    if FAULT == "describe_changes" and GAME.turn is not None:
        document["title"] = f"after {GAME.turn}"
    return document


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do(self):
        length = int(self.headers.get("Content-Length", 0))
        if length > LARGEST and FAULT != "takes_anything":
            self.close_connection = True
            return self.answer(413, {"code": "too_large"})
        return self.answer(*respond(self.path, self.headers.get("Authorization"), self.rfile.read(length)))

    do_GET = do_POST = do_PUT = do  # noqa: N815

    def answer(self, status, document):
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if FAULT == "two_writes":
            self.end_headers()
            self.wfile.write(body)
            return
        self._headers_buffer.append(b"\r\n" + body)
        self.flush_headers()

    def log_message(self, *arguments):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64


if __name__ == "__main__":
    if FAULT == "exits":
        sys.exit("no configuration")
    if FAULT == "ignores_sigterm":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    port = 8080 if FAULT == "deaf_to_port" else int(os.environ.get("PORT", "8080"))
    if FAULT == "one_thread":
        Handler.protocol_version, Server = "HTTP/1.0", HTTPServer
    Server(("0.0.0.0", port), Handler).serve_forever()
