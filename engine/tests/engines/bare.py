"""The least that conforms: what the table of the specification asks for, and nothing optional.

No capabilities, no examples, no order_schema, no token; positions have turn, state and reports alone. Two seats say
numbers; the sum is the state.
"""

import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LOCK = threading.Lock()
GAME = {"turn": None, "state": None, "orders": {}, "last": None}


class Handler(BaseHTTPRequestHandler):
    def answer(self, status, document):
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self._headers_buffer.append(b"\r\n" + body)
        self.flush_headers()

    def do_GET(self):
        players = {"min": 2, "max": 2}
        describe = {
            "contract": 1,
            "engine": "bare",
            "version": "0.0.1",
            "players": players,
            "options_schema": {},
            "capabilities": [],
        }
        self.answer(200, describe if self.path == "/v1/describe" else {})

    def do_POST(self):
        try:
            ask = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with LOCK:
                status, document = self.call(ask)
        except (ValueError, KeyError, TypeError, RecursionError):
            status, document = 400, {}
        self.answer(status, document)

    do_PUT = do_POST  # noqa: N815

    def call(self, ask):  # noqa: PLR0911
        if self.path == "/v1/init":
            GAME.update(turn=0, state={"sum": len(ask["seed"]), "seats": len(ask["seats"])}, orders={}, last=None)
            return 200, position()
        if self.path == "/v1/state":
            GAME.update(turn=ask["turn"], state=ask["state"], orders={}, last=None)
            return 200, {}
        if self.path == "/v1/turns":
            if GAME["last"] and GAME["last"][0] == ask["turn"]:
                return 200, GAME["last"][1]
            if ask["turn"] != GAME["turn"]:
                return 409, {}
            total = GAME["state"]["sum"] + sum(sum(orders) for orders in GAME["orders"].values()) - len(ask["absent"])
            GAME.update(turn=ask["turn"] + 1, state={**GAME["state"], "sum": total}, orders={})
            GAME["last"] = (ask["turn"], position())
            return 200, GAME["last"][1]
        _, _, _, seat, _ = self.path.split("/")
        if seat not in ("1", "2"):
            return 404, {}
        if ask["turn"] != GAME["turn"]:
            return 409, {}
        bad = [index for index, order in enumerate(ask["orders"]) if not isinstance(order, int)]
        if not bad:
            GAME["orders"][seat] = ask["orders"]
        return 200, {
            "accepted": not bad,
            "errors": [{"index": index, "code": "number", "message": "A number."} for index in bad],
        }

    def log_message(self, *arguments):
        pass


def position():
    reports = {str(seat + 1): {"text": f"The sum is {GAME['state']['sum']}."} for seat in range(GAME["state"]["seats"])}
    return {"turn": GAME["turn"], "state": GAME["state"], "reports": reports}


if __name__ == "__main__":
    ThreadingHTTPServer(("0.0.0.0", int(os.environ.get("PORT", "8080"))), Handler).serve_forever()
