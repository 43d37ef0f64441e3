/** What players and spectators see alike of a game: its heading, reports turn by turn, the result. */

import { button, h } from "../dom.js";
import { t } from "../texts.js";
import { deadline } from "../time.js";

/** @param {any} game */
export function heading(game) {
  const turn = game.turn === null ? null : ` · ${t("turn {n}", { n: game.turn })}`;
  const next = game.next_turn_at && h("p", {}, t("Next turn:"), " ", deadline(game.next_turn_at));
  return h("div", {}, h("h1", {}, game.name), h("p", { id: "state", class: "faint" }, t(`state:${game.state}`), turn,
    game.final && ` · ${t("you have finished this turn")}`), next);
}

/** @param {any} game */
export function outcome(game) {
  if (!game.result) return null;
  const named = (/** @type {number} */ seat) => game.seats.find((/** @type {any} */ each) => each.seat === seat)?.name ?? t("seat {n}", { n: seat });
  const winners = (game.result.winners ?? []).map(named);
  const won = (game.result.winners ?? []).includes(game.seat);
  return h("section", { class: "card result", id: "result" }, h("h2", {}, won ? t("You have won!") : t("The game is over")),
    winners.length > 0 && h("p", {}, t("Winner: {names}", { names: winners.join(", ") })), game.result.text && h("p", {}, game.result.text));
}

/**
 * Return a report with the way to those before and after it.
 * @param {any} game
 * @param {number} turn
 * @param {{text?: string, open?: string}} report `open` is what everybody knows, beside what is one's own
 * @param {(turn: number) => Promise<any>} choose
 */
export function reportCard(game, turn, report, choose) {
  const step = (/** @type {string} */ text, /** @type {string} */ label, /** @type {number} */ number) => {
    const made = button(text, () => choose(number), { id: `turn${text}`, "aria-label": label });
    made.disabled = number < 0 || number > game.turn;
    return made;
  };
  return h("section", { class: "card", "aria-label": t("Report") },
    h("div", { class: "row" }, step("‹", t("The turn before"), turn - 1), h("h2", { id: "report-turn" }, t("Turn {n}", { n: turn })),
      step("›", t("The turn after"), turn + 1)),
    told(report.text || t("The engine has nothing to report.")),
    report.open && h("details", {}, h("summary", {}, t("What everybody knows")), told(report.open)));
}

/** Return a report: lines of prose are broken where they must be, those of tables are not. @param {string} text */
function told(text) {
  const isTable = (/** @type {string} */ part) => (part.match(/\S {2,}\S/g) ?? []).length > 3;
  return h("div", { class: "report" }, text.split(/\n{2,}/).map((part) =>
    isTable(part) ? h("pre", { tabindex: 0 }, part) : h("pre", { class: "prose" }, part)));
}
