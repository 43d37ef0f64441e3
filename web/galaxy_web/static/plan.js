/** A seat's orders for the current turn: those that are planned here, and those that the server has. */

import { get, post, put } from "./api.js";

export class Plan {
  /** @param {string} game */
  constructor(game) {
    this.game = game;
    this.turn = -1;
    /** @type {any[]} */
    this.orders = [];
    this.revision = 0;
    this.final = false;
    /** Whether something is planned that was not sent. */
    this.changed = false;
    /** @type {Map<number, any>} */
    this.forecast = new Map();
    /** @type {{index: number | null, message: string}[]} */
    this.faults = [];
    /** @type {() => void} */
    this.onchange = () => {};
    /** The last question to the engine, and what it said. @type {{asked: string, verdict: Promise<any>}} */
    this.last = { asked: "", verdict: Promise.resolve(null) };
  }

  /** Read what the server has. What is planned for the same turn and not sent is kept. */
  async load() {
    const stored = await get(`games/${this.game}/orders`);
    if (stored.turn === this.turn && this.changed) return;
    const same = stored.turn === this.turn && stored.revision === this.revision;
    this.keep(stored);
    if (!same) await this.check();
  }

  /** @param {any} stored */
  keep(stored) {
    Object.assign(this, { turn: stored.turn, orders: stored.orders, revision: stored.revision, final: stored.final });
    this.changed = false;
  }

  /** @param {any} order */
  async add(order) {
    await this.change([...this.orders, order]);
  }

  /** @param {number} index */
  async removeAt(index) {
    await this.change(this.orders.filter((_, each) => each !== index));
  }

  /** @param {any[]} orders */
  async change(orders) {
    this.orders = orders;
    this.changed = true;
    await this.check();
  }

  /** Ask the engine what it says of the plan; an engine that cannot say leaves it without a word. */
  async check() {
    const asked = this.orders;
    this.forecast = new Map();
    this.faults = [];
    this.onchange();
    if (asked.length === 0) return;
    const verdict = await this.ask(asked);
    if (asked !== this.orders || !verdict) return;
    if (Array.isArray(verdict.forecast)) this.forecast = new Map(verdict.forecast.map((/** @type {any} */ row) => [row.index, row]));
    this.faults = verdict.errors ?? [];
    this.onchange();
  }

  /**
   * Return what the engine says of orders, null where it cannot say. What was asked last is not asked again.
   * @param {any[]} orders
   */
  ask(orders) {
    const body = { turn: this.turn, orders };
    const asked = JSON.stringify(body);
    if (asked !== this.last.asked) {
      this.last = { asked, verdict: post(`games/${this.game}/orders/validate`, body).catch(() => this.forget(asked)) };
    }
    return this.last.verdict;
  }

  /** @param {string} asked */
  forget(asked) {
    if (this.last.asked === asked) this.last = { asked: "", verdict: Promise.resolve(null) };
    return null;
  }

  /**
   * Return what the engine says of one more order: what it forecasts, or what is wrong with it.
   * @param {any} order
   * @returns {Promise<{forecast: any, fault: string | null}>}
   */
  async preview(order) {
    const verdict = await this.ask([...this.orders, order]);
    const own = (/** @type {any} */ row) => row.index === this.orders.length;
    const forecast = Array.isArray(verdict?.forecast) ? verdict.forecast.find(own) : null;
    return { forecast, fault: (verdict?.errors ?? []).find(own)?.message ?? null };
  }

  /** Send the orders in place of the former ones. @param {boolean} final */
  async send(final) {
    const body = { turn: this.turn, orders: this.orders, final };
    try {
      const kept = await put(`games/${this.game}/orders`, body, { "If-Match": `"${this.revision}"` });
      this.keep({ ...body, revision: kept.revision });
    } catch (error) {
      const code = /** @type {import("./api.js").ApiError} */ (error).code;
      if (code === "orders_changed" || code === "turn_over") {
        this.changed = false;
        await this.load();
      }
      throw error;
    } finally {
      this.onchange();
    }
  }
}
