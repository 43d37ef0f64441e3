/** A game before its start: seats, joining, machines, invitations. */

import { post, remove } from "../api.js";
import { button, field, form, h, say, show } from "../dom.js";
import { go } from "../router.js";
import { t } from "../texts.js";
import { seatList, spectatorsLink } from "./manage.js";

/** @param {HTMLElement} root @param {any} game @param {() => Promise<any>} refresh */
export function lobby(root, game, refresh) {
  const path = `games/${game.id}`;
  const enrolling = game.state === "enrolling" || game.state === "ready";
  const inside = game.seats.some((/** @type {any} */ each) => each.you);
  const act = (/** @type {() => Promise<any>} */ call) => async () => {
    await call();
    await refresh();
  };
  const leave = async () => {
    await post(`${path}/${enrolling ? "leave" : "resign"}`);
    go("");
  };
  const startable = enrolling ? game.enrolled >= game.min_players : game.state === "start_failed";
  const machine = game.seats.some((/** @type {any} */ each) => each.machine);
  const open = document.getElementById("invitee") !== null && root.contains(document.getElementById("invitee"));
  const typed = open ? /** @type {HTMLInputElement} */ (document.getElementById("invitee")).value : "";
  show(root, h("section", { class: "card" },
    h("p", {}, t("{n} of {m} seats taken", { n: game.enrolled, m: game.max_players }), ". ",
      enrolling && game.enrolled < game.min_players && t("Players needed to start: {n}.", { n: game.min_players })),
    game.state === "starting" && h("p", { class: "badge" }, t("The game is being started …")),
    game.failure && h("p", { class: "fault" }, t("It could not be started: {failure}", { failure: game.failure })),
    seatList(game, refresh),
    spectatorsLink(game),
    h("div", { class: "buttons" },
      game.owned && game.state === "draft" && button(t("Open for players"), act(() => post(`${path}/open-enrolment`))),
      !inside && game.state === "enrolling" && button(t("Join"), act(() => post(`${path}/join`)), { id: "join", class: "button" }),
      game.owned && startable && button(t("Start the game"), act(() => post(`${path}/start`)), { id: "start", class: "button" }),
      game.owned && game.state === "enrolling" && button(t("Add a machine player"), act(() => post(`${path}/machines`, { count: 1 }))),
      game.owned && enrolling && machine && button(t("Remove the machine players"), act(() => remove(`${path}/machines`)), { class: "quiet" }),
      inside && (enrolling || game.state === "start_failed") && button(t("Leave"), leave, { class: "quiet" }),
      game.owned && game.state !== "starting" && game.state !== "cancelled" && button(t("End the game"), act(() => post(`${path}/cancel`)), { class: "danger" }))),
  game.owned && enrolling && invite(path, typed));
}

/** @param {string} path @param {string} typed */
function invite(path, typed) {
  const email = h("input", { id: "invitee", type: "email", required: true, value: typed });
  const send = async () => {
    await post(`${path}/invitations`, { email: email.value });
    email.value = "";
    say(t("Invited."));
  };
  return h("section", { class: "card" }, h("h2", {}, t("Invite somebody")),
    form({ fields: [field(t("E-mail address"), email)], button: t("Invite"), send }));
}
