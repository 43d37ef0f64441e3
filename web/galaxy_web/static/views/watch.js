/** A public game for everybody who has its link: who plays, and what everybody may know, turn by turn. No session. */

import { look, unless } from "../api.js";
import { h, show } from "../dom.js";
import { t } from "../texts.js";
import { outcome, heading, reportCard } from "./shown.js";

/** The API has answers of up to five seconds ago kept by caches; asking more often shows nothing newer. */
const EVERY = 5_000;

/** @param {HTMLElement} root @param {string} id @returns {Promise<import("../router.js").View>} */
export async function watch(root, id) {
  const head = h("div", {});
  const body = h("div", {});
  const lost = h("p", { role: "status", class: "lost" });
  root.append(lost, head, body);
  /** @type {number | null} */
  let chosen = null;
  let drawn = "";
  await draw();
  const timer = setInterval(() => document.hidden || void refresh(), EVERY);
  return { refresh, close: () => clearInterval(timer) };

  async function refresh() {
    const text = await draw().then(() => "", () => t("Connection lost. Trying again …"));
    if (lost.textContent !== text) lost.textContent = text;
  }

  async function draw() {
    const game = await look(`games/${id}`);
    const turn = chosen === null || game.turn === null ? game.turn : Math.min(chosen, game.turn);
    const key = JSON.stringify([game, turn]);
    if (key === drawn) return;
    const report = turn === null ? null : await look(`games/${id}/turns/${turn}`).catch(unless(404, { text: "" }));
    document.title = `${game.name} · Galaxy`;
    show(head, heading(game), outcome(game));
    const choose = (/** @type {number} */ number) => {
      chosen = number === game.turn ? null : number;
      return draw();
    };
    show(body, report === null ? h("p", { class: "card" }, t("The game has not begun.")) : reportCard(game, turn, report, choose),
      h("section", { class: "card" }, h("h2", {}, t("Players")), h("ul", { class: "plain seats" }, game.seats.map(player))));
    drawn = key;
  }
}

/** @param {any} seat */
function player(seat) {
  const facts = [seat.machine && t("machine"), t(`seat:${seat.state}`)];
  return h("li", {}, seat.seat && `${seat.seat}. `, seat.name, " ", h("span", { class: "faint" }, facts.filter(Boolean).join(" · ")));
}
