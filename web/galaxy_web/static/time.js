/** Times in the reader's zone, and what is left until them. */

import { h } from "./dom.js";
import { spoken, t } from "./texts.js";

/** @type {string | undefined} */
let zone;

/**
 * Show times in a zone, that of the browser where it is none or one that the browser does not know.
 * @param {string} [name] of the IANA database
 */
export function useZone(name) {
  try {
    new Intl.DateTimeFormat("en", { timeZone: name });
    zone = name;
  } catch {
    zone = undefined;
  }
}

/**
 * Return a time in the reader's zone and language.
 * @param {string} time ISO 8601
 */
export function when(time) {
  return new Intl.DateTimeFormat(spoken(), { dateStyle: "medium", timeStyle: "short", timeZone: zone }).format(new Date(time));
}

/**
 * Return what is left until a time, the two largest units.
 * @param {number} milliseconds
 */
export function left(milliseconds) {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  const parts = /** @type {[number, string][]} */ ([
    [Math.floor(seconds / 86_400), t("d")],
    [Math.floor(seconds / 3600) % 24, t("h")],
    [Math.floor(seconds / 60) % 60, t("min")],
    [seconds % 60, t("s")],
  ]);
  const first = Math.max(0, parts.findIndex(([count]) => count > 0));
  const shown = seconds === 0 ? [parts[3]] : parts.slice(first, first + 2);
  return shown.map(([count, unit]) => `${count} ${unit}`).join(" ");
}

/**
 * Return a deadline that counts down for as long as it is on the page.
 * @param {string} time ISO 8601
 */
export function deadline(time) {
  const rest = h("span", { class: "left", role: "timer", "aria-live": "off" });
  const element = h("time", { datetime: time, class: "deadline" }, when(time), " · ", rest);
  const at = Date.parse(time);
  const tick = () => {
    rest.textContent = left(at - Date.now());
    if (element.isConnected || !begun) setTimeout(tick, 1000);
    begun = true;
  };
  let begun = false;
  tick();
  return element;
}
