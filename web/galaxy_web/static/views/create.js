/** Creating a game: a form, part of which the engine's `options_schema` describes. */

import { all, post } from "../api.js";
import { field, form, h, show } from "../dom.js";
import { schemaForm } from "../schema.js";
import { go } from "../router.js";
import { session } from "../session.js";
import { t } from "../texts.js";

const LENGTHS = ["1d", "12h", "3h", "1h", "10m", "1m"];

/** @param {HTMLElement} root @returns {Promise<import("../router.js").View>} */
export async function create(root) {
  const versions = (await all("engine-versions")).filter((each) => each.players);
  if (versions.length === 0) {
    show(root, h("h1", {}, t("New game")), h("p", { class: "card" }, t("The engine is being checked. Try again in a moment.")));
    return { refresh: async () => void ((await all("engine-versions")).some((each) => each.players) && go("create")) };
  }
  draw(versions[0]);
  return { refresh: () => {} };

  /** @param {any} version */
  function draw(version) {
    const { min, max } = version.players;
    const machines = version.capabilities.includes("suggest");
    const number = (/** @type {string} */ id, /** @type {number} */ low, /** @type {number} */ high, /** @type {number} */ value) =>
      h("input", { id, type: "number", min: low, max: high, value, required: true });
    const name = h("input", { id: "name", required: true, maxlength: 30, value: `${session.account?.display_name ?? ""}`.slice(0, 24) + " 1" });
    const seats = number("seats", Math.max(1, min), max, Math.min(max, Math.max(min, 3)));
    const machine = number("machines", 0, max - 1, machines ? Math.min(max, Math.max(min, 3)) - 1 : 0);
    const length = h("select", { id: "length" }, LENGTHS.map((each) => h("option", { value: each }, each)));
    const visibility = h("select", { id: "visibility" },
      h("option", { value: "private" }, t("By invitation only")), h("option", { value: "public" }, t("Anybody may join")));
    const early = h("input", { id: "early", type: "checkbox", checked: true });
    const options = schemaForm(version.options_schema ?? { type: "object" }, "option");
    const engine = h("select", { id: "engine", onchange: () => draw(versions.find((each) => each.id === engine.value)) },
      versions.map((each) => h("option", { value: each.id }, `${each.title ?? each.engine} ${each.version}`)));
    engine.value = version.id;
    const fields = [
      versions.length > 1 && field(t("Game"), engine),
      version.summary && h("p", { class: "faint" }, version.summary),
      field(t("Name"), name), field(t("Seats"), seats),
      machines && field(t("Machine players"), machine),
      field(t("Length of a turn"), length),
      h("label", { class: "check" }, early, " ", t("Run a turn as soon as everybody has finished")),
      field(t("Who may join"), visibility),
      h("fieldset", {}, h("legend", {}, t("Rules")), options.element),
    ];
    const send = async () => {
      const game = await post("games", {
        name: name.value, engine_version: version.id, visibility: visibility.value, min_players: Math.max(1, min),
        max_players: Number(seats.value), schedule: { interval: length.value }, run_when_final: early.checked, options: options.value(),
      });
      await post(`games/${game.id}/open-enrolment`);
      await post(`games/${game.id}/join`);
      const count = Math.min(Number(machine.value), Number(seats.value) - 1);
      if (machines && count > 0) await post(`games/${game.id}/machines`, { count });
      go(`games/${game.id}`);
    };
    show(root, h("section", { class: "card" }, h("h1", {}, t("New game")), form({ fields, button: t("Create"), send })));
  }
}
