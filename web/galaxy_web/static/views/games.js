/** My games, the one that waits for me first; open games. */

import { all, get, post } from "../api.js";
import { button, h, show } from "../dom.js";
import { go } from "../router.js";
import { t } from "../texts.js";
import { deadline } from "../time.js";

/** @param {HTMLElement} root @returns {Promise<import("../router.js").View>} */
export async function games(root) {
  await refresh();
  return { refresh };

  async function refresh() {
    const [mine, invitations, ended] = await Promise.all([
      all("games?scope=mine"), all("invitations"), get("games?scope=ended&page_size=20"),
    ]);
    mine.sort(byUrgency);
    show(root, h("h1", {}, t("My games")), invitations.length > 0 && invited(invitations),
      mine.length > 0 ? list(mine) : empty(),
      ended.items.length > 0 && h("section", {}, h("h2", {}, t("Ended")), list(ended.items)));
  }

  /** @param {any[]} invitations */
  function invited(invitations) {
    const answer = (/** @type {any} */ each, /** @type {string} */ word) => async () => {
      await post(`invitations/${each.id}/${word}`);
      if (word === "accept") go(`games/${each.game_id}`);
      else await refresh();
    };
    const items = invitations.map((each) => h("li", { class: "card row" },
      h("span", {}, t("{inviter} invites you to {game}.", { inviter: each.inviter, game: each.game })),
      button(t("Join"), answer(each, "accept")), button(t("Decline"), answer(each, "decline"), { class: "quiet" })));
    return h("section", {}, h("h2", {}, t("Invitations")), h("ul", { class: "plain" }, items));
  }
}

function empty() {
  return h("div", { class: "card" }, h("p", {}, t("You are in no game yet.")),
    h("p", {}, h("a", { href: "#/create", class: "button" }, t("Start a game")), " ",
      h("a", { href: "#/open" }, t("Join an open one"))));
}

/** @param {any} one @param {any} other */
function byUrgency(one, other) {
  const rank = (/** @type {any} */ game) => (game.my_turn ? 0 : game.unread ? 1 : 2);
  const time = (/** @type {any} */ game) => Date.parse(game.next_turn_at ?? "9999-01-01");
  return rank(one) - rank(other) || time(one) - time(other) || one.created_at.localeCompare(other.created_at);
}

/** @param {any[]} found */
function list(found) {
  return h("ul", { class: "plain games" }, found.map((game) => h("li", {},
    h("a", { class: game.my_turn ? "card game mine" : "card game", href: `#/games/${game.id}` },
      h("strong", {}, game.name), " ", game.my_turn && h("span", { class: "badge" }, t("Your turn")), " ",
      status(game)))));
}

/** @param {any} game */
function status(game) {
  const seats = t("{n} of {m} seats taken", { n: game.enrolled, m: game.max_players });
  const parts = [t(`state:${game.state}`), game.turn === null ? seats : t("turn {n}", { n: game.turn })];
  if (game.sent && !game.my_turn) parts.push(t("orders sent"));
  return h("span", { class: "faint" }, parts.join(" · "), game.next_turn_at && [" · ", deadline(game.next_turn_at)]);
}

/** @param {HTMLElement} root @returns {Promise<import("../router.js").View>} */
export async function openGames(root) {
  await refresh();
  return { refresh };

  async function refresh() {
    const { items } = await get("games?scope=open&page_size=100");
    show(root, h("h1", {}, t("Open games")),
      items.length > 0 ? list(items) : h("p", { class: "card" }, t("Nobody looks for players just now.")));
  }
}
