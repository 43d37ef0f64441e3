/**
 * Views of engines' own: a map to look at and to order from. An engine without one is played through its reports,
 * options and schemas. To add one, name it here.
 */

/**
 * @typedef {object} Context
 * @property {any} game
 * @property {any} data The `data` of the report that is shown.
 * @property {any} options What may be ordered; null where nothing may be.
 * @property {import("../plan.js").Plan | null} plan
 */
/**
 * @typedef {object} Board
 * @property {HTMLElement} element
 * @property {() => void} update Called when the plan has changed.
 */
/**
 * @typedef {object} Engine
 * @property {(context: Context) => Board} board
 * @property {(order: any, context: Context, forecast: any) => string} describe
 */

/** @type {Record<string, () => Promise<Engine>>} */
const ENGINES = { galaxy: () => import("./galaxy.js") };

/**
 * Return the view of an engine, null where it has none, or where that cannot be loaded.
 * @param {string | null} version as `engine@version`
 */
export async function engineView(version) {
  const load = ENGINES[(version ?? "").split("@")[0]];
  return load ? load().catch(() => null) : null;
}
