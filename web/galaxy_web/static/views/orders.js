/** Orders: planned, said by the engine to be right or wrong, sent. Works for any engine. */

import { button, field, form, h, say, show } from "../dom.js";
import { parsed, schemaForm } from "../schema.js";
import { t } from "../texts.js";

/**
 * @param {import("../games/index.js").Context} context
 * @param {{engine: import("../games/index.js").Engine | null, schema: any, done: () => Promise<any>}} how
 */
export function ordersPanel(context, { engine, schema, done }) {
  const plan = /** @type {import("../plan.js").Plan} */ (context.plan);
  const listed = h("div", {});
  const element = h("section", { class: "card orders", "aria-label": t("Orders") }, h("h2", {}, t("Orders")), listed,
    engine ? h("details", {}, h("summary", {}, t("Other ways to order")), writing()) : writing());
  update();
  return { element, update };

  function update() {
    const state = plan.changed ? t("Not sent yet") : plan.revision === 0 ? t("Nothing sent yet")
      : plan.final ? t("Sent, and you have finished this turn") : t("Sent");
    const whole = plan.faults.filter((each) => each.index === null || each.index === undefined);
    show(listed, h("p", { id: "plan-state", class: plan.changed ? "badge" : "faint" }, state),
      plan.orders.length > 0 ? h("ol", { class: "plan" }, plan.orders.map(row)) : h("p", {}, t("No orders planned.")),
      whole.map((each) => h("p", { class: "fault" }, each.message)),
      h("div", { class: "buttons" }, button(t("Send"), () => send(false), { id: "send" }),
        button(t("Send and finish the turn"), () => send(true), { id: "finish", class: "button", "data-turn": plan.turn })));
  }

  /** @param {any} order @param {number} index */
  function row(order, index) {
    const fault = plan.faults.find((each) => each.index === index);
    const text = engine ? engine.describe(order, context, plan.forecast.get(index)) : compact(order);
    return h("li", {}, h("span", {}, text), fault && h("span", { class: "fault" }, " ", fault.message), " ",
      button("×", () => plan.removeAt(index), { class: "quiet", "aria-label": t("Remove: {text}", { text }) }));
  }

  /** @param {boolean} final */
  async function send(final) {
    await plan.send(final);
    say(final ? t("Orders sent. You have finished this turn.") : t("Orders sent."));
    await done();
  }

  function writing() {
    return h("div", {}, legal(), schema && fromSchema(), rawJson());
  }

  function legal() {
    const orders = context.options?.orders ?? [];
    if (orders.length === 0 || engine) return null;
    const picked = h("select", { id: "legal", size: Math.min(8, Math.max(2, orders.length)) },
      orders.map((/** @type {any} */ each, /** @type {number} */ index) => h("option", { value: index }, compact(each))));
    picked.value = "0";
    const label = context.options.complete ? t("What you may order") : t("Some of what you may order");
    return h("div", {}, field(label, picked), button(t("Add the order"), () => plan.add(orders[Number(picked.value)]), { id: "add-legal" }));
  }

  function fromSchema() {
    const made = schemaForm(schema, t("Order"));
    return form({ id: "by-schema", fields: [made.element], button: t("Add this order"), send: () => plan.add(made.value()) });
  }

  function rawJson() {
    const text = h("textarea", { id: "raw", rows: 4, spellcheck: "false" });
    const fields = [field(t("All orders, as JSON"), text)];
    const send = async () => {
      const orders = parsed(text.value);
      if (!Array.isArray(orders)) throw new Error(t("Write a list of orders: [ … ]"));
      await plan.change(orders);
    };
    return h("details", { ontoggle: () => (text.value = JSON.stringify(plan.orders, null, 1)) },
      h("summary", {}, t("As JSON")), form({ id: "by-json", fields, button: t("Use these orders"), send }));
  }
}

/** Return an order as short text: an engine's own words for its orders are not known here. @param {any} order */
function compact(order) {
  if (order === null || typeof order !== "object" || Array.isArray(order)) return JSON.stringify(order);
  return Object.entries(order).map(([name, value]) => `${name} ${typeof value === "object" ? JSON.stringify(value) : value}`).join(", ");
}
