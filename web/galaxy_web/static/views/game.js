/** A game: its lobby before the start; then the board, orders, reports turn by turn, the result. */

import { all, get, unless } from "../api.js";
import { h, show } from "../dom.js";
import { engineView } from "../games/index.js";
import { Plan } from "../plan.js";
import { t } from "../texts.js";
import { lobby } from "./lobby.js";
import { manage, seatList, spectatorsLink } from "./manage.js";
import { ordersPanel } from "./orders.js";
import { heading, outcome, reportCard } from "./shown.js";

const SOON = 500;

/** @param {HTMLElement} root @param {string} id @returns {Promise<import("../router.js").View>} */
export async function game(root, id) {
  const head = h("div", {});
  const body = h("div", {});
  const foot = h("div", {});
  root.append(head, body, foot);
  const plan = new Plan(id);
  /** @type {number | null} */
  let chosen = null;
  let drawn = "";
  let busy = false;
  let again = false;
  let soon = 0;
  await refresh();
  return { refresh, close: () => clearTimeout(soon) };

  /** Look again; a call during another one has it done once more, so that the last state is shown. */
  async function refresh() {
    if (busy) return void (again = true);
    busy = true;
    try {
      do {
        again = false;
        await look();
      } while (again);
    } finally {
      busy = false;
    }
  }

  async function look() {
    const shown = await get(`games/${id}`);
    clearTimeout(soon);
    if (moving(shown)) soon = window.setTimeout(() => refresh().catch(() => {}), SOON);
    document.title = `${shown.my_turn ? "● " : ""}${shown.name} · Galaxy`;
    if (shown.turn === null) {
      drawn = "";
      show(foot);
      show(head, heading(shown));
      return lobby(body, shown, refresh);
    }
    const awaited = shown.state === "running" && shown.awaiting.includes(shown.seat) && !shown.orders_closed;
    const playing = awaited && (await plan.load().then(() => true, unless(409, false)));
    if (chosen !== null && chosen >= shown.turn) chosen = null;
    const turn = chosen ?? shown.turn;
    const key = [shown.turn, turn, shown.state, shown.seat, playing, shown.orders_closed].join();
    if (key !== drawn && (await position(shown, turn, playing))) drawn = key;
    show(head, heading(shown), outcome(shown));
    show(foot, h("details", { open: foot.querySelector("details")?.open }, h("summary", {}, t("Players and more")),
      seatList(shown, refresh), spectatorsLink(shown), manage(shown, refresh)));
  }

  /** Draw a position; return whether all of it could be had. @param {any} shown @param {number} turn @param {boolean} playing */
  async function position(shown, turn, playing) {
    const current = turn === shown.turn && playing;
    const [engine, report, options, versions] = await Promise.all([
      engineView(shown.engine_version), reportOf(shown, turn),
      current ? get(`games/${id}/orders/options`).catch((error) => (error.status === 409 ? {} : null)) : {},
      current ? all("engine-versions") : [],
    ]);
    const context = { game: shown, data: report.data, options, plan: current ? plan : null };
    const board = engine && report.data?.planets ? engine.board(context) : null;
    const schema = versions.find((/** @type {any} */ each) => each.id === shown.engine_version_id)?.order_schema;
    const panel = current ? ordersPanel(context, { engine: board ? engine : null, schema, done: refresh }) : null;
    plan.onchange = () => {
      board?.update();
      panel?.update();
    };
    show(body, h("div", { class: "play" }, board?.element,
      h("div", {}, panel?.element ?? waiting(shown, turn), reportCard(shown, turn, report, choose))));
    return options !== null;
  }

  /** @param {number} turn */
  function choose(turn) {
    chosen = turn;
    return refresh();
  }

  /** @param {any} shown @param {number} turn */
  async function reportOf(shown, turn) {
    const open = await get(`games/${id}/turns/${turn}/public`).catch(unless(404, { text: "" }));
    const own = shown.seat === null ? null : await get(`games/${id}/turns/${turn}/report`).catch(unless(404, null));
    return own ? { ...own, open: open.text } : { ...open, open: "" };
  }
}

/**
 * Return whether a position is being made. The player whose orders were the last ones gets no event about it.
 * @param {any} game
 */
function moving(game) {
  const seats = game.seats.filter((/** @type {any} */ each) => game.awaiting.includes(each.seat));
  const finished = game.run_when_final && seats.length > 0 && seats.every((/** @type {any} */ each) => each.final);
  return game.state === "starting" || (game.state === "running" && (game.orders_closed || finished));
}

/** @param {any} game @param {number} turn */
function waiting(game, turn) {
  if (game.state !== "running" || turn !== game.turn) return null;
  if (game.orders_closed) return h("p", { class: "card" }, t("The turn is being run …"));
  return h("p", { class: "card" }, game.seat === null ? t("You are watching this game.") : t("Nothing to order this turn."));
}
