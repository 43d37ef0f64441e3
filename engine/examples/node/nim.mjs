#!/usr/bin/env node
// Nim, one seat after the other: a whole engine in one file, on Node's standard library.
import { createHash } from "node:crypto";
import { createServer } from "node:http";

const DESCRIPTION = {
  contract: 1,
  engine: "nim",
  version: "1.0.0",
  title: "Nim",
  summary: "Take matches from one pile, in turns. Whoever takes the last one has won.",
  players: { min: 2, max: 4 },
  options_schema: { type: "object", properties: { piles: { type: "integer", minimum: 1, maximum: 6, default: 3 } } },
  order_schema: {
    type: "object",
    required: ["pile", "take"],
    properties: { pile: { type: "integer", minimum: 1 }, take: { type: "integer", minimum: 1 } },
  },
  capabilities: ["options"],
};

class Refusal extends Error {
  constructor(status, code, message) {
    super(message);
    Object.assign(this, { status, code });
  }
}

function check(condition, status, code, message) {
  if (!condition) throw new Refusal(status, code, message);
}

const whole = (value, low, high) => Number.isInteger(value) && value >= low && value <= high;
const range = (length) => Array.from({ length }, (_, index) => index + 1);
const mover = (state) => 1 + (state.turn % state.seats);
const over = (state) => state.piles.every((size) => size === 0);

function begin({ seed, seats, options }) {
  const piles = options?.piles ?? 3;
  check(typeof seed === "string" && seed, 422, "bad_request", "`seed` is text.");
  check(whole(piles, 1, 6), 422, "bad_options", "`piles` is a whole number from 1 to 6.");
  const numbered = whole(seats?.length, 2, 4) && range(seats.length).every((n) => seats.some?.((row) => row?.seat === n));
  check(numbered, 422, "bad_seats", "There are 2 to 4 seats, numbered from 1 without gaps.");
  const sizes = createHash("sha256").update(seed).digest().subarray(0, piles);
  return { turn: 0, seats: seats.length, piles: [...sizes].map((byte) => 3 + (byte % 5)) };
}

function restore({ turn, state }) {
  const { seats, piles } = state ?? {};
  const sound = Array.isArray(piles) && whole(piles.length, 1, 6) && piles.every((size) => whole(size, 0, 7));
  check(sound && whole(seats, 2, 4) && whole(turn, 0, 42) && state.turn === turn, 422, "bad_state", "Not a snapshot.");
  return { turn, seats, piles };
}

function legal(state, seat) {
  if (seat !== mover(state)) return [];
  return state.piles.flatMap((size, index) => range(size).map((take) => ({ pile: index + 1, take })));
}

function judge(state, seat, orders) {
  if (orders.length === 0) return [];
  if (seat !== mover(state)) return [{ index: null, code: "not_your_move", message: `Seat ${mover(state)} moves.` }];
  if (orders.length > 1) return [{ index: 1, code: "too_many", message: "One move a turn." }];
  const fits = legal(state, seat).some(({ pile, take }) => pile === orders[0]?.pile && take === orders[0]?.take);
  return fits ? [] : [{ index: 0, code: "bad_move", message: "Take at least one match, all from one pile." }];
}

function play(state, move) {
  const { pile, take } = move ?? legal(state, mover(state))[0];
  const piles = state.piles.map((size, index) => (index === pile - 1 ? size - take : size));
  return position({ ...state, turn: state.turn + 1, piles }, `Seat ${mover(state)} took ${take} from pile ${pile}.`);
}

function position(state, story) {
  const winner = over(state) ? mover({ ...state, turn: state.turn - 1 }) : null;
  const ending = winner ? `Seat ${winner} has won.` : `Piles: ${state.piles.join(", ")}. Seat ${mover(state)} moves.`;
  const report = { text: `${story} ${ending}`, data: { piles: state.piles } };
  return {
    turn: state.turn,
    state,
    reports: Object.fromEntries(range(state.seats).map((seat) => [seat, report])),
    public_report: report,
    awaiting: winner ? [] : [mover(state)],
    phase: "move",
    finished: winner !== null,
    result: winner ? { winners: [winner], text: ending } : null,
  };
}

let [state, move, last] = [null, null, null];
const hold = (next) => ([state, move, last] = [next, null, null]);

function expect(turn) {
  check(state && turn === state.turn && !over(state), 409, "wrong_turn", "That turn is not open.");
}

const CALLS = {
  "GET /healthz": () => ({}),
  "GET /v1/describe": () => DESCRIPTION,
  "POST /v1/init": (body) => (hold(begin(body)), position(state, "The matches are laid out.")),
  "PUT /v1/state": (body) => (hold(restore(body)), {}),
  "GET /v1/seats/n/options": (_, seat) => ({ turn: state.turn, orders: legal(state, seat), complete: true }),
  "POST /v1/seats/n/orders": ({ turn, orders }, seat) => {
    expect(turn);
    check(Array.isArray(orders), 422, "bad_request", "`orders` is a list.");
    const errors = judge(state, seat, orders);
    if (errors.length === 0 && seat === mover(state)) move = orders[0] ?? null;
    return { accepted: errors.length === 0, errors };
  },
  "POST /v1/turns": ({ turn, absent }) => {
    if (last && turn + 1 === last.turn) return last;
    expect(turn);
    const answer = play(state, absent?.includes?.(mover(state)) ? null : move);
    hold(answer.state);
    return (last = answer);
  },
};

const LIMIT = 17_000_000; // a state of 16 MiB, and what stands around it

async function answer(request) {
  const { method, url, headers } = request, token = process.env.GALAXY_TOKEN;
  check(!token || url === "/healthz" || headers.authorization === `Bearer ${token}`, 401, "unauthorized", "No token.");
  let [text, size] = ["", 0];
  for await (const chunk of request.setEncoding("utf8")) {
    check((size += chunk.length) <= LIMIT, 413, "too_large", "At most 16 MiB.");
    text += chunk;
  }
  const seat = /^\/v1\/seats\/([1-9]\d{0,2})\//.exec(url)?.[1];
  const call = CALLS[`${method} ${seat ? url.replace(`/${seat}/`, "/n/") : url}`];
  check(call, 404, "not_found", "The contract has no such call.");
  check(!seat || seat <= state?.seats, 404, "unknown_seat", "There is no such seat.");
  return call(text && JSON.parse(text), Number(seat));
}

const server = createServer((request, response) => {
  const write = (status, value) => {
    const body = JSON.stringify(value);
    response.writeHead(status, { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(body) });
    response.end(body); // head and body leave in one piece
  };
  answer(request).then((value) => write(200, value), (error) => {
    const { status = 422, code = "bad_request", message } = error instanceof Refusal ? error : { message: String(error) };
    write(status, { code, message });
  });
});

process.on("SIGTERM", () => process.exit(0));
server.listen(Number(process.env.PORT) || 8080, process.env.GALAXY_LISTEN_HOST || "0.0.0.0");
