/** Forms from JSON Schema: what engines use of it, and raw JSON for the rest. */

import { field, h } from "./dom.js";
import { t } from "./texts.js";

/** @typedef {{element: HTMLElement, value: () => any, fill: (value: any) => void}} SchemaForm */

let count = 0;

/**
 * Return a form for values of a schema. `value` raises an Error for what is not JSON.
 * @param {any} schema
 * @param {string} label
 * @returns {SchemaForm}
 */
export function schemaForm(schema, label) {
  if (Array.isArray(schema.oneOf ?? schema.anyOf)) return choice(schema.oneOf ?? schema.anyOf, label);
  if (schema.properties || schema.type === "object") return object(schema);
  if ("const" in schema) return constant(schema.const);
  if (Array.isArray(schema.enum)) return select(schema, label);
  if (schema.type === "boolean") return checkbox(schema, label);
  if (schema.type === "integer" || schema.type === "number" || schema.type === "string") return input(schema, label);
  return raw(schema, label);
}

/** @param {any} value @returns {SchemaForm} */
const constant = (value) => ({ element: h("span", { hidden: true }), value: () => value, fill: () => {} });

/** @param {any} schema @returns {SchemaForm} */
function object(schema) {
  const required = schema.required ?? [];
  /** @type {[string, SchemaForm][]} */
  const members = Object.entries(schema.properties ?? {}).map(([name, each]) => {
    const some = /** @type {any} */ (each);
    return [name, schemaForm({ ...some, optional: !required.includes(name) && !("default" in some) }, some.title ?? name)];
  });
  return {
    element: h("div", {}, members.map(([, each]) => each.element)),
    value: () => Object.fromEntries(members.map(([name, each]) => [name, each.value()]).filter(([, value]) => value !== undefined)),
    fill: (value) => members.forEach(([name, each]) => value && name in value && each.fill(value[name])),
  };
}

/** @param {any[]} schemas @param {string} label @returns {SchemaForm} */
function choice(schemas, label) {
  const forms = schemas.map((each, index) => schemaForm(each, each.title ?? `${label} ${index + 1}`));
  const place = h("div", {}, forms[0].element);
  const picked = h("select", { id: `schema-${++count}`, onchange: () => place.replaceChildren(forms[Number(picked.value)].element) },
    schemas.map((each, index) => h("option", { value: index }, each.title ?? String(index + 1))));
  return {
    element: h("div", {}, field(t("Kind"), picked), place),
    value: () => forms[Number(picked.value)].value(),
    fill: (value) => forms[Number(picked.value)].fill(value),
  };
}

/** @param {any} schema @param {string} label @returns {SchemaForm} */
function select(schema, label) {
  const control = h("select", { id: `schema-${++count}` }, schema.enum.map((/** @type {any} */ each, /** @type {number} */ index) =>
    h("option", { value: index }, String(each))));
  const fill = (/** @type {any} */ value) => (control.value = String(Math.max(0, schema.enum.indexOf(value))));
  fill(schema.default ?? schema.enum[0]);
  return { element: field(label, control, schema.description), value: () => schema.enum[Number(control.value)], fill };
}

/** @param {any} schema @param {string} label @returns {SchemaForm} */
function checkbox(schema, label) {
  const control = h("input", { id: `schema-${++count}`, type: "checkbox", checked: schema.default === true });
  return {
    element: h("label", { class: "check" }, control, " ", label),
    value: () => control.checked,
    fill: (value) => (control.checked = value === true),
  };
}

/** @param {any} schema @param {string} label @returns {SchemaForm} */
function input(schema, label) {
  const numeric = schema.type !== "string";
  const control = h("input", {
    id: `schema-${++count}`, type: numeric ? "number" : "text", step: schema.type === "number" ? "any" : null,
    min: schema.minimum, max: schema.maximum, minlength: schema.minLength, maxlength: schema.maxLength,
    required: !schema.optional, value: schema.default ?? "",
  });
  const value = () => (control.value === "" ? undefined : numeric ? Number(control.value) : control.value);
  return { element: field(label, control, schema.description), value, fill: (given) => (control.value = String(given)) };
}

/** @param {any} schema @param {string} label @returns {SchemaForm} */
function raw(schema, label) {
  const control = h("textarea", { id: `schema-${++count}`, rows: 3, spellcheck: "false" });
  if ("default" in schema) control.value = JSON.stringify(schema.default);
  return {
    element: field(`${label} (JSON)`, control, schema.description),
    value: () => (control.value.trim() === "" ? undefined : JSON.parse(control.value)),
    fill: (value) => (control.value = JSON.stringify(value)),
  };
}
