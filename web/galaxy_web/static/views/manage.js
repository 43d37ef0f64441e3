/** Who sits where, and what the owner and the players of a running game can do. */

import { post, remove } from "../api.js";
import { button, h, say } from "../dom.js";
import { t } from "../texts.js";

/** @param {any} game @param {() => Promise<any>} refresh */
export function seatList(game, refresh) {
  const waits = new Set(game.awaiting);
  return h("ul", { class: "plain seats" }, game.seats.map((/** @type {any} */ seat) => {
    const facts = [seat.machine && t("machine"), t(`seat:${seat.state}`)];
    if (waits.has(seat.seat)) facts.push(seat.final ? t("finished this turn") : seat.sent ? t("orders sent") : t("thinking"));
    if (seat.missed > 0) facts.push(t("missed {n}", { n: seat.missed }));
    const away = async () => {
      if (game.turn !== null && !confirm(t("Take {player} out of this game for good?", { player: seat.name }))) return;
      await remove(`games/${game.id}/members/${seat.account_id}`);
      await refresh();
    };
    return h("li", {}, seat.seat && `${seat.seat}. `, seat.you ? h("strong", {}, seat.name) : seat.name, " ",
      h("span", { class: "faint" }, facts.filter(Boolean).join(" · ")), " ",
      game.owned && seat.account_id && !seat.you && removable(game, seat) && button(t("Remove"), away, { class: "quiet" }));
  }));
}

/**
 * Return whether the owner may remove a player: before the first turn anybody, later who missed the last one.
 * @param {any} game @param {any} seat
 */
function removable(game, seat) {
  if (game.turn === null) return seat.state === "enrolled" || seat.state === "playing";
  return (game.state === "running" || game.state === "paused") && seat.state === "playing" && seat.missed_in_row > 0;
}

/** Return the link under which everybody may watch a public game. @param {any} game */
export function spectatorsLink(game) {
  if (game.visibility !== "public" || game.state === "draft") return null;
  const link = `${location.origin}/#/watch/${game.id}`;
  const copy = async () => {
    await navigator.clipboard.writeText(link);
    say(t("Copied."));
  };
  return h("p", {}, t("Everybody may watch this game:"), " ", h("a", { href: `#/watch/${game.id}`, id: "watch" }, link), " ",
    navigator.clipboard && button(t("Copy"), copy, { class: "quiet" }));
}

/** @param {any} game @param {() => Promise<any>} refresh */
export function manage(game, refresh) {
  const act = (/** @type {string} */ word, /** @type {string} */ question = "") => async () => {
    if (question && !confirm(question)) return;
    await post(`games/${game.id}/${word}`);
    await refresh();
  };
  const later = async () => {
    await post(`games/${game.id}/extend`, { by: "1h" });
    await refresh();
  };
  const live = game.state === "running" || game.state === "paused";
  const me = game.seats.find((/** @type {any} */ each) => each.you);
  return h("div", { class: "buttons" },
    game.owned && game.state === "running" && button(t("Run the turn now"), act("force-next-turn", t("Run the turn now, for everybody?"))),
    game.owned && game.state === "running" && game.next_turn_at && button(t("An hour more for this turn"), later),
    game.owned && game.state === "running" && button(t("Pause"), act("pause")),
    game.owned && game.state === "paused" && button(t("Resume"), act("resume")),
    live && me?.state === "playing" && button(t("Resign"), act("resign", t("Give up your seat for good?")), { class: "danger" }),
    game.owned && live && button(t("End the game"), act("cancel", t("End this game for everybody, for good?")), { class: "danger" }));
}
