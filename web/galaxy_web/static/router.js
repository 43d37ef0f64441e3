/** Which view an address shows: the part after `#`, so that the server needs to know one path alone. */

/**
 * @typedef {object} View
 * @property {(event?: import("./stream.js").Message) => Promise<void> | void} refresh Called when something may have changed.
 * @property {() => void} [close]
 */
/** @typedef {(root: HTMLElement, ...parts: string[]) => Promise<View> | View} Open */

/** @type {[RegExp, Open, boolean][]} */
const routes = [];
/** @type {View | null} */
let current = null;
let visit = 0;

/**
 * Name the view of an address.
 * @param {string} pattern with `*` for a part, which the view gets
 * @param {Open} open
 * @param {{everybody?: boolean}} [access] whether one may look without signing in
 */
export function route(pattern, open, { everybody = false } = {}) {
  routes.push([new RegExp(`^${pattern.replaceAll("*", "([^/]+)")}$`), open, everybody]);
}

/** Return whether the view of the current address needs no session. */
export const isForEverybody = () => routes.some(([pattern, , everybody]) => everybody && pattern.test(address()));

/** Close the view that is shown. */
export function close() {
  visit++;
  current?.close?.();
  current = null;
}

export const address = () => location.hash.replace(/^#\/?/, "");

/** @param {string} path */
export function go(path) {
  if (address() === path) open();
  else location.hash = `#/${path}`;
}

/** Show the view of the current address. */
export async function open() {
  close();
  const mine = visit;
  const root = document.createElement("div");
  const focused = document.activeElement;
  const [found, view] = matched(address());
  document.getElementById("view")?.replaceChildren(root);
  const opened = await view(root, ...found.slice(1));
  if (mine !== visit) return opened.close?.();
  current = opened;
  const main = document.getElementById("view");
  const left = document.activeElement === focused || document.activeElement === document.body;
  // Who has gone on with the keyboard while the view was being opened stays where they are.
  if (main && left && !main.contains(document.activeElement)) main.focus({ preventScroll: true });
}

/** @param {string} path @returns {[RegExpMatchArray, Open]} */
function matched(path) {
  for (const [pattern, view] of routes) {
    const found = path.match(pattern);
    if (found) return [found, view];
  }
  return [/** @type {any} */ ([""]), routes[0][1]];
}

/** Have the current view look again. @param {import("./stream.js").Message} [event] */
export async function refresh(event) {
  await current?.refresh(event);
}
