/** Moving about a picture: by wheel, dragging, two fingers, keys and buttons. */

import { h } from "../dom.js";
import { t } from "../texts.js";

/** @typedef {{x: number, y: number}} Point */
/** @typedef {{x: number, y: number, width: number, height: number}} Box */

const STEP = 1.4;
const CLOSEST = 8;
const FARTHEST = 1.5;
/** Pixels by which a pointer may move and still point at something. */
const STILL = 6;

/**
 * Make an SVG movable, and return its buttons.
 * @param {SVGSVGElement} svg
 * @param {Box} whole
 */
export function camera(svg, whole) {
  let seen = { ...whole };
  const apply = () => {
    svg.setAttribute("viewBox", `${seen.x} ${seen.y} ${seen.width} ${seen.height}`);
    svg.classList.toggle("near", seen.width < whole.width * 0.99); // one finger moves the map now, no more the page
  };
  const all = () => {
    seen = { ...whole };
    apply();
  };
  /** @param {number} factor @param {Point} [at] shares of the width and the height */
  const zoom = (factor, at = { x: 0.5, y: 0.5 }) => {
    const width = Math.min(whole.width * FARTHEST, Math.max(whole.width / CLOSEST, seen.width * factor));
    const height = (width * seen.height) / seen.width;
    seen = { x: seen.x + (seen.width - width) * at.x, y: seen.y + (seen.height - height) * at.y, width, height };
    apply();
  };
  /** @param {number} dx @param {number} dy in pixels */
  const move = (dx, dy) => {
    const box = svg.getBoundingClientRect();
    const scale = Math.max(seen.width / box.width, seen.height / box.height);
    seen = { ...seen, x: seen.x - dx * scale, y: seen.y - dy * scale };
    apply();
  };
  /** @param {Point} point in the window */
  const share = (point) => {
    const box = svg.getBoundingClientRect();
    return { x: (point.x - box.x) / box.width, y: (point.y - box.y) / box.height };
  };
  svg.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoom(event.deltaY > 0 ? 1.2 : 1 / 1.2, share(event));
  }, { passive: false });
  svg.addEventListener("keydown", (event) => {
    const act = { "+": () => zoom(1 / STEP), "-": () => zoom(STEP), "0": all }[event.key];
    if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    act();
  });
  pointers(svg, move, (factor, at) => zoom(factor, share(at)));
  apply();
  const control = (/** @type {string} */ text, /** @type {string} */ label, /** @type {() => void} */ act) =>
    h("button", { type: "button", "aria-label": label, title: label, onclick: act }, text);
  return h("div", { class: "zoom" }, control("+", t("Zoom in"), () => zoom(1 / STEP)), control("−", t("Zoom out"), () => zoom(STEP)),
    control("⤢", t("Show everything"), all));
}

/**
 * Follow one pointer that drags, or two that pinch. What was dragged was not pointed at: the click after it is dropped.
 * @param {SVGSVGElement} svg
 * @param {(dx: number, dy: number) => void} move
 * @param {(factor: number, at: Point) => void} zoom
 */
function pointers(svg, move, zoom) {
  /** @type {Map<number, Point>} */
  const down = new Map();
  let far = 0;
  svg.addEventListener("pointerdown", (event) => {
    if (down.size === 0) far = 0;
    down.set(event.pointerId, { x: event.clientX, y: event.clientY });
  });
  svg.addEventListener("pointermove", (event) => {
    const from = down.get(event.pointerId);
    if (!from) return;
    const to = { x: event.clientX, y: event.clientY };
    const other = [...down].find(([id]) => id !== event.pointerId)?.[1];
    far += distance(from, to);
    if (!other && far < STILL) return;
    if (far >= STILL && !svg.hasPointerCapture(event.pointerId)) svg.setPointerCapture(event.pointerId);
    down.set(event.pointerId, to);
    if (other) zoom(distance(from, other) / Math.max(1, distance(to, other)), { x: (to.x + other.x) / 2, y: (to.y + other.y) / 2 });
    const share = other ? 0.5 : 1; // of two fingers, the middle moves half as far
    move((to.x - from.x) * share, (to.y - from.y) * share);
  });
  for (const end of ["pointerup", "pointercancel"]) {
    svg.addEventListener(end, (event) => down.delete(/** @type {PointerEvent} */ (event).pointerId));
  }
  svg.addEventListener("click", (event) => {
    if (far >= STILL && event.detail > 0) event.stopPropagation();
  }, { capture: true });
}

/** @param {Point} one @param {Point} other */
const distance = (one, other) => Math.hypot(one.x - other.x, one.y - other.y);
