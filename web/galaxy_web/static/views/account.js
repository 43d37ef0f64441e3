/** The account and its sessions. */

import { all, listeners, patch, remove } from "../api.js";
import { button, field, form, h, say, show } from "../dom.js";
import { session, signOut, use } from "../session.js";
import { LANGUAGES, t } from "../texts.js";
import { when } from "../time.js";

/** @param {HTMLElement} root @returns {Promise<import("../router.js").View>} */
export async function account(root) {
  const me = /** @type {import("../session.js").Account} */ (session.account);
  const sessions = h("section", { class: "card" });
  root.append(h("h1", {}, t("Account")), profile(me), sessions, leaving());
  await refresh();
  return { refresh };

  async function refresh() {
    const found = await all("sessions");
    const end = (/** @type {any} */ each) => async () => {
      await remove(`sessions/${each.id}`);
      await refresh();
    };
    const others = async () => {
      await remove("sessions");
      await refresh();
    };
    show(sessions, h("h2", {}, t("Sessions")), h("ul", { class: "plain" }, found.map((each) => h("li", { class: "row" },
      h("span", {}, each.device_name, " ", h("small", { class: "faint" }, each.current ? t("this one") : t("last seen {time}", { time: when(each.last_seen_at) }))),
      !each.current && button(t("End"), end(each), { class: "quiet", "aria-label": `${t("End")}: ${each.device_name}` })))),
    h("div", { class: "buttons" }, button(t("Sign out"), leave, { id: "sign-out" }), found.length > 1 && button(t("End the others"), others, { class: "quiet" })));
  }

  async function leave() {
    await signOut();
    listeners.signedOut();
  }

  function leaving() {
    const gone = async () => {
      if (!confirm(t("Delete your account for good? Your seats are given up."))) return;
      await remove("account");
      listeners.signedOut();
    };
    return h("details", {}, h("summary", {}, t("Delete the account")), button(t("Delete the account"), gone, { class: "danger" }));
  }
}

/** @param {import("../session.js").Account} me */
function profile(me) {
  const name = h("input", { id: "display-name", value: me.display_name, maxlength: 30, required: true });
  const language = h("select", { id: "language" }, Object.entries(LANGUAGES).map(([tag, each]) => h("option", { value: tag, lang: tag }, each)));
  language.value = me.language.slice(0, 2) in LANGUAGES ? me.language.slice(0, 2) : "en";
  const zones = [...new Set([me.time_zone, "UTC", ...Intl.supportedValuesOf("timeZone")])].sort();
  const zone = h("select", { id: "time-zone", value: me.time_zone }, zones.map((each) => h("option", { value: each }, each.replaceAll("_", " "))));
  const save = async () => {
    use(await patch("account", { display_name: name.value, language: language.value, time_zone: zone.value }));
    say(t("Saved."));
    dispatchEvent(new HashChangeEvent("hashchange"));
  };
  return h("section", { class: "card" }, h("p", { class: "faint" }, me.email),
    form({ fields: [field(t("Display name"), name), field(t("Language"), language), field(t("Time zone"), zone, t("Deadlines here and in mails are shown in it."))], button: t("Save"), send: save }));
}
