/** The map of the reference game, as SVG: planets, what is seen, fleets in flight, planned fleets. */

import { s } from "../dom.js";
import { t } from "../texts.js";
import { points } from "./shapes.js";
import { ships } from "./words.js";

const UNIT = 10;
const SIGHT = 7;
/** Where a planet's name and its ships are written, outside of what marks it. */
const [NAME, SHIPS] = [11.5, 15.5];

/**
 * @typedef {object} Use
 * @property {number | null} source
 * @property {number | null} target
 * @property {any[]} planned Orders to send ships.
 * @property {number} current The planet that the keyboard is at.
 * @property {((planet: any, byKey: boolean) => void) | null} pick Null where nothing may be ordered.
 * @property {(planet: any) => void} visit Called when the keyboard goes to another planet.
 */

/** @param {any[]} planets */
export function extent(planets) {
  const xs = planets.map((each) => each.x * UNIT);
  const ys = planets.map((each) => each.y * UNIT);
  const [x, y] = [Math.min(...xs) - 25, Math.min(...ys) - 28];
  return { x, y, width: Math.max(...xs) + 25 - x, height: Math.max(...ys) + 25 - y };
}

/**
 * Return everything on the map.
 * @param {any} data of a report
 * @param {number | null} me
 * @param {Use} use
 */
export function layers(data, me, use) {
  const planets = new Map(data.planets.map((/** @type {any} */ each) => [each.number, each]));
  const own = data.planets.filter((/** @type {any} */ each) => each.owner === me && each.seen === data.turn);
  return [
    s("g", { class: "sight", "aria-hidden": "true" }, own.map((/** @type {any} */ each) =>
      s("circle", { cx: each.x * UNIT, cy: each.y * UNIT, r: SIGHT * UNIT }))),
    s("g", { "aria-hidden": "true" }, data.fleets.map((/** @type {any} */ fleet) => flying(fleet, planets, data.turn, me))),
    s("g", { "aria-hidden": "true" }, use.planned.map((order) => planned(order, planets))),
    s("g", {}, data.sight.map(stranger)),
    s("g", {}, data.planets.map((/** @type {any} */ each) => planet(each, data, me, use))),
  ];
}

/** @param {any} each @param {any} data @param {number | null} me @param {Use} use */
function planet(each, data, me, use) {
  const [x, y] = [each.x * UNIT, each.y * UNIT];
  const old = each.seen !== data.turn;
  const radius = 3.5 + each.industry * 0.5;
  const chosen = each.number === use.source ? " source" : each.number === use.target ? " target" : "";
  const body = each.owner ? s("polygon", { class: `seat seat-${each.owner}`, points: points(each.owner, x, y, radius) })
    : s("circle", { class: "neutral", cx: x, cy: y, r: radius - 1 });
  const label = `${each.name}: ${holder(each, data, me)}, ${t("industry {n}", { n: each.industry })}, ${ships(each.ships)}` +
    (old ? `, ${t("seen on turn {n}", { n: each.seen })}` : "");
  const pick = () => use.pick?.(each, false);
  const press = (/** @type {KeyboardEvent} */ event) => {
    const chosen = event.key === "Enter" || event.key === " ";
    if (!chosen && !(event.key in WAYS)) return;
    event.preventDefault();
    if (chosen) use.pick?.(each, true);
    else use.visit(beside(each, data.planets, WAYS[event.key]));
  };
  return s("g", {
    id: `planet-${each.number}`, class: `planet${old ? " old" : ""}${chosen}${each.owner === me ? " own" : ""}`,
    "aria-label": label, tabindex: each.number === use.current ? 0 : -1, onkeydown: press,
    ...(use.pick ? { role: "button", onclick: pick, "aria-pressed": String(chosen !== "") } : { role: "img" }),
  }, s("title", {}, label), s("circle", { class: "hit", cx: x, cy: y, r: 10 }),
  each.owner === me && s("circle", { class: "ring", cx: x, cy: y, r: radius + 2 }), body,
  s("text", { x, y: y - NAME, class: "name", "aria-hidden": "true" }, each.name),
  s("text", { x, y: y + SHIPS, class: "ships", "aria-hidden": "true" }, each.ships));
}

const WAYS = /** @type {Record<string, [number, number]>} */ ({ ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] });

/**
 * Return the planet beside another one on a way: near, and rather ahead than aside; the same one where there is none.
 * @param {any} from
 * @param {any[]} planets
 * @param {[number, number]} way
 */
function beside(from, planets, way) {
  const cost = (/** @type {any} */ to) => {
    const [dx, dy] = [to.x - from.x, to.y - from.y];
    const ahead = dx * way[0] + dy * way[1];
    return ahead <= 0 ? Infinity : ahead + 2 * Math.abs(dx * way[1] + dy * way[0]);
  };
  const [best] = planets.map((to) => /** @type {[number, any]} */ ([cost(to), to])).sort((one, other) => one[0] - other[0]);
  return best && best[0] < Infinity ? best[1] : from;
}

/** @param {any} each @param {any} data @param {number | null} me */
export function holder(each, data, me) {
  if (each.owner === 0) return t("nobody's");
  if (each.owner === me) return t("yours");
  return data.standing.find((/** @type {any} */ row) => row.seat === each.owner)?.name ?? t("seat {n}", { n: each.owner });
}

/** @param {any} fleet @param {Map<number, any>} planets @param {number} turn @param {number | null} me */
function flying(fleet, planets, turn, me) {
  const [from, to] = [planets.get(fleet.from), planets.get(fleet.to)];
  if (!from || !to) return null;
  const share = (turn - fleet.left) / Math.max(1, fleet.arrives - fleet.left);
  const [x, y] = [(from.x + (to.x - from.x) * share) * UNIT, (from.y + (to.y - from.y) * share) * UNIT];
  const text = `${fleet.ships} · ${t("turn {n}", { n: fleet.arrives })}`;
  return s("g", { class: "fleet" }, s("line", { x1: x, y1: y, x2: to.x * UNIT, y2: to.y * UNIT }),
    s("polygon", { class: `seat seat-${me}`, points: points(1, x, y, 3) }), s("text", { x, y: y + 6.5 }, text));
}

/** @param {any} order @param {Map<number, any>} planets */
function planned(order, planets) {
  const [from, to] = [planets.get(order.from), planets.get(order.to)];
  if (!from || !to) return null;
  const middle = { x: ((from.x + to.x) * UNIT) / 2, y: ((from.y + to.y) * UNIT) / 2 - 2 };
  return s("g", { class: "planned" },
    s("line", { x1: from.x * UNIT, y1: from.y * UNIT, x2: to.x * UNIT, y2: to.y * UNIT, "marker-end": "url(#arrow)" }),
    s("text", middle, order.ships));
}

/** @param {any} each */
function stranger(each) {
  const [x, y] = [each.x * UNIT, each.y * UNIT];
  const label = t("About {fleet} of seat {seat}", { fleet: ships(each.about), seat: each.owner }) + (each.approaching ? `, ${t("approaching")}` : "");
  return s("g", { class: "stranger", role: "img", "aria-label": label }, s("title", {}, label),
    s("polygon", { class: `seat seat-${each.owner}`, points: points(each.owner, x, y, 3) }),
    s("text", { x, y: y + 6.5, "aria-hidden": "true" }, `~${each.about}${each.approaching ? " !" : ""}`));
}
