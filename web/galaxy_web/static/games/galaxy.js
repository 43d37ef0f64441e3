/** The reference game: a map, and orders by pointing at planets or by the form beside it. */

import { button, field, h, s, show } from "../dom.js";
import { t } from "../texts.js";
import { camera } from "./camera.js";
import { extent, holder, layers } from "./map.js";
import { points } from "./shapes.js";
import { planets, ships, turns } from "./words.js";

/** Milliseconds after the last change until the engine is asked about an order. */
const SETTLED = 300;

/**
 * @param {import("./index.js").Context} context
 * @returns {import("./index.js").Board}
 */
export function board(context) {
  const { game, data, options, plan } = context;
  const bases = new Map((options?.data?.planets ?? []).map((/** @type {any} */ each) => [each.planet, each]));
  const canOrder = plan !== null && bases.size > 0;
  /** @type {number | null} */
  let source = canOrder ? [...bases.keys()][0] : null;
  /** @type {number | null} */
  let target = null;
  let picked = false;
  let current = source ?? data.planets[0]?.number ?? 0;
  const expected = h("p", { id: "expected", class: "faint", "aria-live": "polite" });
  let asking = 0;
  const picture = s("g", {});
  const arrow = s("marker", { id: "arrow", viewBox: "0 0 6 6", refX: 6, refY: 3, markerWidth: 6, markerHeight: 6, orient: "auto" },
    s("path", { d: "M0 0 6 3 0 6z" }));
  const keys = t("Arrow keys go from planet to planet, Enter chooses, plus and minus zoom.");
  const svg = s("svg", { class: "map", role: "group", "aria-label": `${t("Map")}. ${keys}` }, s("defs", {}, arrow), picture);
  const controls = h("div", { class: "order" });
  const element = h("section", { class: "board", "aria-label": t("Map") },
    h("div", { class: "frame" }, svg, camera(svg, extent(data.planets))), legend(data, game.seat), controls);
  update();
  return { element, update };

  function update() {
    const sends = (plan?.orders ?? []).filter((each) => each.order === "send");
    show(picture, layers(data, game.seat, { source, target, planned: sends, current, pick: canOrder ? pick : null, visit }));
    if (canOrder) show(controls, orderForm());
    preview();
  }

  /** @param {any} planet */
  function visit(planet) {
    current = planet.number;
    update();
    document.getElementById(`planet-${current}`)?.focus();
  }

  /**
   * The first planet of one's own is the source, the next one the target; after a target a source again.
   * @param {any} planet
   * @param {boolean} byKey
   */
  function pick(planet, byKey) {
    if (bases.has(planet.number) && (!picked || target !== null)) [source, target] = [planet.number, null];
    else if (planet.number !== source) target = planet.number;
    [picked, current] = [true, planet.number];
    update();
    if (target === null) return;
    if (byKey) /** @type {HTMLInputElement} */ (controls.querySelector("#ships")).select();
    else controls.scrollIntoView({ block: "nearest" }); // on a phone it is below the map
  }

  /** Return the order that the form describes, null where it describes none. */
  function described() {
    const ships = Number(/** @type {HTMLInputElement | null} */ (controls.querySelector("#ships"))?.value);
    return target !== null && ships >= 1 ? { order: "send", from: source, to: target, ships } : null;
  }

  /** Say what the engine expects of the order, a moment after the last change to it. */
  function preview() {
    clearTimeout(asking);
    const order = canOrder ? described() : null;
    if (order === null) return void (expected.textContent = "");
    asking = window.setTimeout(async () => {
      const { forecast, fault } = (await plan?.preview(order)) ?? { forecast: null, fault: null };
      const same = JSON.stringify(described()) === JSON.stringify(order);
      if (same) expected.textContent = fault ?? (forecast ? describe(order, context, forecast) : "");
    }, SETTLED);
  }

  function orderForm() {
    const base = bases.get(source);
    const spare = free(source);
    const ends = data.planets.filter((/** @type {any} */ each) => each.number !== source);
    const away = new Map(base.targets.map((/** @type {any} */ each) => [each.planet, each.turns]));
    const named = (/** @type {any} */ each) => `${each.name} (${holder(each, data, game.seat)}, ${each.ships})`;
    const from = h("select", { id: "from", onchange: () => ((source = Number(from.value)), (target = null), update()) },
      [...bases.values()].map((each) => h("option", { value: each.planet }, `${each.name} (${free(each.planet)})`)));
    from.value = String(source);
    const to = h("select", { id: "to", onchange: () => ((target = Number(to.value) || null), update()) },
      h("option", { value: "" }, t("Choose a planet")),
      ends.map((/** @type {any} */ each) => h("option", { value: each.number }, `${named(each)} · ${turns(away.get(each.number) ?? "?")}`)));
    to.value = target === null ? "" : String(target);
    const number = h("input", { id: "ships", type: "number", min: 1, max: Math.max(1, spare), value: Math.max(1, spare),
      inputmode: "numeric", required: true, oninput: preview });
    const share = (/** @type {string} */ text, /** @type {number} */ amount) => h("button", { type: "button", class: "quiet",
      onclick: () => ((number.value = String(Math.max(1, amount))), preview()) }, text);
    const add = h("button", { id: "add", type: "submit", disabled: target === null || spare < 1 }, t("Add the order"));
    const added = async (/** @type {SubmitEvent} */ event) => {
      event.preventDefault();
      const order = described();
      [target, picked] = [null, false];
      if (order) await plan?.add(order);
      document.getElementById("from")?.focus({ preventScroll: true });
    };
    const name = h("input", { id: "rename", maxlength: 24, value: base.name });
    const rename = button(t("Rename"), () => plan?.add({ order: "name", planet: source, name: name.value }));
    return [h("h2", {}, t("Send ships")), h("p", { class: "faint" }, t("Choose one of your planets, then where to, on the map or here.")),
      h("form", { id: "sending", onsubmit: added }, h("div", { class: "fields" }, field(t("From"), from), field(t("To"), to),
        field(t("Ships"), number), h("div", {}, share(t("All"), spare), share(t("Half"), Math.floor(spare / 2)), share("1", 1)), add)),
      expected,
      h("details", {}, h("summary", {}, t("Rename this planet")), h("div", { class: "fields" }, field(t("Name"), name), rename))];
  }

  /** @param {number | null} planet */
  function free(planet) {
    const gone = (plan?.orders ?? []).filter((each) => each.order === "send" && each.from === planet);
    return (bases.get(planet)?.ships ?? 0) - gone.reduce((sum, each) => sum + each.ships, 0);
  }
}

/** @param {any} data @param {number | null} me */
function legend(data, me) {
  const mark = (/** @type {number} */ seat) => s("svg", { viewBox: "-5 -5 10 10", class: "mark", "aria-hidden": "true" },
    s("polygon", { class: `seat seat-${seat}`, points: points(seat, 0, 0, 4.5) }));
  const rows = data.standing.map((/** @type {any} */ row) => {
    const standing = row.out === null ? holding(row, me) : t("out since turn {n}", { n: row.out });
    return h("li", {}, mark(row.seat), " ", row.seat === me ? h("strong", {}, row.name) : row.name, " ", h("span", { class: "faint" }, standing));
  });
  return h("div", {}, h("ul", { class: "plain legend" }, rows),
    h("p", { class: "faint" }, t("{goal} of {industry} industry win; the last turn is {limit}.", data)));
}

/** Return what a player holds: of others' industry only what was seen is known. @param {any} row @param {number | null} me */
function holding(row, me) {
  const industry = row.seat === me || row.industry > 0 ? `, ${t("industry {n}", { n: row.industry })}` : "";
  return planets(row.planets) + industry;
}

/**
 * Return an order in words, with what is known to come of it.
 * @param {any} order
 * @param {import("./index.js").Context} context
 * @param {any} forecast
 */
export function describe(order, context, forecast) {
  const name = (/** @type {number} */ number) =>
    context.data.planets.find((/** @type {any} */ each) => each.number === number)?.name ?? `#${number}`;
  if (order.order === "name") return t("Call {planet} “{name}”", { planet: name(order.planet), name: order.name });
  const text = t("{fleet} from {from} to {to}", { fleet: ships(order.ships), from: name(order.from), to: name(order.to) });
  if (!forecast) return text;
  const outcome = { joins: t("joins yours"), wins: t("should win"), loses: t("would lose"), open: t("could go either way") };
  return `${text} · ${t("turn {n}", { n: forecast.arrives })} · ${outcome[/** @type {"joins"} */ (forecast.outcome)] ?? forecast.outcome}`;
}
