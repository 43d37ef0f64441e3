/** A game: its lobby before the start; then the board, orders, reports turn by turn, the result. */

import { all, get } from "../api.js";
import { h, show } from "../dom.js";
import { engineView } from "../games/index.js";
import { Plan } from "../plan.js";
import { t } from "../texts.js";
import { deadline } from "../time.js";
import { lobby } from "./lobby.js";
import { manage, seatList } from "./manage.js";
import { ordersPanel } from "./orders.js";

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
      show(head, headline(shown));
      return lobby(body, shown, refresh);
    }
    const playing = shown.state === "running" && shown.awaiting.includes(shown.seat) && !shown.orders_closed;
    if (playing) await plan.load().catch(() => {});
    const turn = chosen === null || chosen > shown.turn ? shown.turn : chosen;
    const key = [shown.turn, turn, shown.state, shown.seat, playing, shown.orders_closed].join();
    if (key !== drawn && (await position(shown, turn, playing))) drawn = key;
    show(head, headline(shown), result(shown));
    show(foot, h("details", { open: foot.querySelector("details")?.open }, h("summary", {}, t("Players and more")),
      seatList(shown, refresh), manage(shown, refresh)));
  }

  /** Draw a position; return whether all of it could be had. @param {any} shown @param {number} turn @param {boolean} playing */
  async function position(shown, turn, playing) {
    const current = turn === shown.turn && playing;
    const [engine, report, options, versions] = await Promise.all([
      engineView(shown.engine_version), reportOf(shown, turn),
      current ? get(`games/${id}/orders/options`).catch((error) => (error.status === 409 ? {} : null)) : null,
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
      h("div", {}, panel?.element ?? waiting(shown, turn), reportCard(shown, turn, report))));
    return !current || options !== null;
  }

  /** @param {any} shown @param {number} turn */
  async function reportOf(shown, turn) {
    const open = await get(`games/${id}/turns/${turn}/public`).catch(() => ({ text: "" }));
    const own = shown.seat === null ? null : await get(`games/${id}/turns/${turn}/report`).catch(() => null);
    return own ? { ...own, open: open.text } : { ...open, open: "" };
  }

  /** @param {any} shown @param {number} turn @param {any} report */
  function reportCard(shown, turn, report) {
    const to = (/** @type {number} */ number) => () => {
      chosen = number === shown.turn ? null : number;
      return refresh();
    };
    const step = (/** @type {string} */ text, /** @type {string} */ label, /** @type {number} */ number) =>
      h("button", { id: `turn${text}`, type: "button", "aria-label": label, disabled: number < 0 || number > shown.turn, onclick: to(number) }, text);
    return h("section", { class: "card", "aria-label": t("Report") },
      h("div", { class: "row" }, step("‹", t("The turn before"), turn - 1), h("h2", { id: "report-turn" }, t("Turn {n}", { n: turn })),
        step("›", t("The turn after"), turn + 1)),
      told(report.text || t("The engine has nothing to report.")),
      report.open && h("details", {}, h("summary", {}, t("What everybody knows")), told(report.open)));
  }
}

/** Return a report: lines of prose are broken where they must be, those of tables are not. @param {string} text */
function told(text) {
  const isTable = (/** @type {string} */ part) => (part.match(/\S {2,}\S/g) ?? []).length > 3;
  return h("div", { class: "report" }, text.split(/\n{2,}/).map((part) =>
    isTable(part) ? h("pre", { tabindex: 0 }, part) : h("pre", { class: "prose" }, part)));
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

/** @param {any} game */
function headline(game) {
  const turn = game.turn === null ? null : ` · ${t("turn {n}", { n: game.turn })}`;
  const next = game.next_turn_at && h("p", {}, t("Next turn:"), " ", deadline(game.next_turn_at));
  return h("div", {}, h("h1", {}, game.name), h("p", { id: "state", class: "faint" }, t(`state:${game.state}`), turn,
    game.final && ` · ${t("you have finished this turn")}`), next);
}

/** @param {any} game */
function result(game) {
  if (!game.result) return null;
  const named = (/** @type {number} */ seat) => game.seats.find((/** @type {any} */ each) => each.seat === seat)?.name ?? t("seat {n}", { n: seat });
  const winners = (game.result.winners ?? []).map(named);
  const won = (game.result.winners ?? []).includes(game.seat);
  return h("section", { class: "card result", id: "result" }, h("h2", {}, won ? t("You have won!") : t("The game is over")),
    winners.length > 0 && h("p", {}, t("Winner: {names}", { names: winners.join(", ") })), game.result.text && h("p", {}, game.result.text));
}
