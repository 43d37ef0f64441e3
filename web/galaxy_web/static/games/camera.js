/** Moving about a picture: by wheel, by dragging, by buttons. */

import { h } from "../dom.js";
import { t } from "../texts.js";

/**
 * Make an SVG movable, and return its buttons.
 * @param {SVGSVGElement} svg
 * @param {{x: number, y: number, width: number, height: number}} whole
 */
export function camera(svg, whole) {
  let seen = { ...whole };
  const apply = () => svg.setAttribute("viewBox", `${seen.x} ${seen.y} ${seen.width} ${seen.height}`);
  /** @param {number} factor @param {number} [atX] @param {number} [atY] */
  const zoom = (factor, atX = 0.5, atY = 0.5) => {
    const width = Math.min(whole.width * 1.5, Math.max(whole.width / 8, seen.width * factor));
    const height = (width * seen.height) / seen.width;
    seen = { x: seen.x + (seen.width - width) * atX, y: seen.y + (seen.height - height) * atY, width, height };
    apply();
  };
  svg.addEventListener("wheel", (event) => {
    event.preventDefault();
    const box = svg.getBoundingClientRect();
    zoom(event.deltaY > 0 ? 1.2 : 1 / 1.2, (event.clientX - box.x) / box.width, (event.clientY - box.y) / box.height);
  }, { passive: false });
  drag(svg, (dx, dy) => {
    const box = svg.getBoundingClientRect();
    const scale = Math.max(seen.width / box.width, seen.height / box.height);
    seen = { ...seen, x: seen.x - dx * scale, y: seen.y - dy * scale };
    apply();
  });
  apply();
  const control = (/** @type {string} */ text, /** @type {string} */ label, /** @type {() => void} */ act) =>
    h("button", { type: "button", "aria-label": label, title: label, onclick: act }, text);
  return h("div", { class: "zoom" }, control("+", t("Zoom in"), () => zoom(1 / 1.4)), control("−", t("Zoom out"), () => zoom(1.4)),
    control("⤢", t("Show everything"), () => ((seen = { ...whole }), apply())));
}

/** @param {SVGSVGElement} svg @param {(dx: number, dy: number) => void} move */
function drag(svg, move) {
  /** @type {{x: number, y: number} | null} */
  let from = null;
  svg.addEventListener("pointerdown", (event) => (from = { x: event.clientX, y: event.clientY }));
  addEventListener("pointerup", () => (from = null));
  svg.addEventListener("pointermove", (event) => {
    if (!from || event.buttons === 0) return;
    move(event.clientX - from.x, event.clientY - from.y);
    from = { x: event.clientX, y: event.clientY };
  });
}
