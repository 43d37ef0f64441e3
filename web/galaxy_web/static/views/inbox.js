/** Notifications, and by which way each kind comes. */

import { all, get, post, put } from "../api.js";
import { button, h, say, show } from "../dom.js";
import { t } from "../texts.js";
import { when } from "../time.js";

/** @param {HTMLElement} root @returns {Promise<import("../router.js").View>} */
export async function inbox(root) {
  const listed = h("section", {});
  const choices = h("section", {});
  root.append(h("h1", {}, t("Inbox")), listed, choices);
  const preferences = await all("notifications/preferences");
  drawChoices(choices, preferences);
  const summaries = new Map(preferences.map((each) => [each.kind, each.summary]));
  await refresh();
  return { refresh };

  async function refresh() {
    const { items } = await get("notifications?page_size=50");
    const read = async () => {
      await post("notifications/read");
      await refresh();
    };
    show(listed, items.some((/** @type {any} */ each) => !each.read_at) && button(t("Mark all as read"), read),
      items.length === 0 && h("p", { class: "card" }, t("Nothing yet.")), h("ul", { class: "plain" }, items.map(item)));
  }

  /** @param {any} each */
  function item(each) {
    const own = t(each.kind, each.payload);
    const text = own === each.kind ? (summaries.get(each.kind) ?? each.kind) : own;
    const read = () => !each.read_at && post(`notifications/${each.id}/read`).catch(() => {});
    const link = each.payload.game_id ? h("a", { href: `#/games/${each.payload.game_id}`, onclick: read }, text) : text;
    return h("li", { class: each.read_at ? "card" : "card unread" }, link, " ", h("small", { class: "faint" }, when(each.created_at)));
  }
}

/** @param {HTMLElement} root @param {any[]} preferences */
function drawChoices(root, preferences) {
  const channels = [...new Set(preferences.map((each) => each.channel))];
  const kinds = [...new Map(preferences.map((each) => [each.kind, each.summary]))];
  /** @param {string} kind @param {string} channel */
  const choice = (kind, channel) => {
    const found = preferences.find((each) => each.kind === kind && each.channel === channel);
    if (!found) return h("td", {});
    const box = h("input", {
      type: "checkbox", checked: found.enabled, disabled: found.mandatory, "aria-label": `${t(`kind:${kind}`) === `kind:${kind}` ? found.summary : t(`kind:${kind}`)} ${t(channel)}`,
      onchange: () => put("notifications/preferences", { kind, channel, enabled: box.checked }).catch((error) => {
        box.checked = !box.checked;
        say(error.message, true);
      }),
    });
    return h("td", {}, box);
  };
  const name = (/** @type {string} */ kind, /** @type {string} */ summary) => (t(`kind:${kind}`) === `kind:${kind}` ? summary : t(`kind:${kind}`));
  show(root, h("details", {}, h("summary", {}, t("What to be notified of")), h("table", {},
    h("thead", {}, h("tr", {}, h("th", {}, t("Kind")), channels.map((each) => h("th", { scope: "col" }, t(each))))),
    h("tbody", {}, kinds.map(([kind, summary]) => h("tr", {}, h("th", { scope: "row" }, name(kind, summary)), channels.map((each) => choice(kind, each))))))));
}
