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

/** Set while the page was loaded again because a view was lost on the way; browsers keep that a module was. */
const RELOADED = "galaxy.view-reloaded";

/**
 * Return the view of an engine, null where it has none, or where that cannot be loaded: the page is loaded again once,
 * before anything is planned in it.
 * @param {string | null} version as `engine@version`
 * @returns {Promise<Engine | null>}
 */
export async function engineView(version) {
  const load = ENGINES[(version ?? "").split("@")[0]];
  if (!load) return null;
  try {
    const view = await load();
    sessionStorage.removeItem(RELOADED);
    return view;
  } catch {
    if (sessionStorage.getItem(RELOADED)) return null;
    sessionStorage.setItem(RELOADED, "1");
    location.reload();
    return new Promise(() => {});
  }
}
