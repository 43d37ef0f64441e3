/** Forms from JSON Schema: what engines use of it, and raw JSON for the rest. */

import { field, h } from "./dom.js";
import { t } from "./texts.js";

/** @typedef {{element: HTMLElement, value: () => any, fill: (value: any) => void}} SchemaForm */

let count = 0;

/** Nested schemas beyond these are written as JSON: a schema may refer to itself. */
const DEEPEST = 6;
const MOST = 500;

/**
 * Return a form for values of a schema. `value` raises an Error for what is not JSON.
 * @param {any} schema
 * @param {string} label
 * @returns {SchemaForm}
 */
export function schemaForm(schema, label) {
  return part(resolved(schema, schema, { left: MOST }), label);
}

/**
 * Return a schema with what it refers to in its place, as far as that is in the same document and not too deep.
 * @param {any} schema
 * @param {any} root
 * @param {{left: number}} budget schemas that may still be looked at
 * @param {number} [depth]
 * @returns {any}
 */
function resolved(schema, root, budget, depth = 0) {
  if (schema === null || typeof schema !== "object") return schema;
  if (depth > DEEPEST || budget.left-- <= 0) return {};
  if (typeof schema.$ref === "string") {
    const found = schema.$ref.startsWith("#/") ? schema.$ref.slice(2).split("/").reduce(
      (/** @type {any} */ node, /** @type {string} */ name) => node?.[name.replaceAll("~1", "/").replaceAll("~0", "~")], root) : null;
    const { $ref: _, ...beside } = schema;
    return resolved({ ...(found ?? {}), ...beside }, root, budget, depth + 1);
  }
  const deeper = (/** @type {any} */ each) => resolved(each, root, budget, depth + 1);
  const named = (/** @type {any} */ some) => some && Object.fromEntries(Object.entries(some).map(([name, each]) => [name, deeper(each)]));
  const made = { ...schema };
  if (schema.properties) made.properties = named(schema.properties);
  if (schema.items) made.items = deeper(schema.items);
  for (const word of ["oneOf", "anyOf"]) if (Array.isArray(schema[word])) made[word] = schema[word].map(deeper);
  return made;
}

/** @param {any} given @param {string} label @returns {SchemaForm} */
function part(given, label) {
  const schema = withoutNull(given);
  if (Array.isArray(schema.oneOf ?? schema.anyOf)) return choice(schema.oneOf ?? schema.anyOf, label);
  if (schema.properties || schema.type === "object") return object(schema);
  if ("const" in schema) return constant(schema.const);
  if (Array.isArray(schema.enum)) return select(schema, label);
  if (schema.type === "boolean") return checkbox(schema, label);
  if (schema.type === "integer" || schema.type === "number" || schema.type === "string") return input(schema, label);
  if (schema.type === "array" && schema.items && !Array.isArray(schema.items)) return list(schema, label);
  return raw(schema, label);
}

/** Return a schema that also allows null as one that may be left out. @param {any} schema */
function withoutNull(schema) {
  if (!Array.isArray(schema.type) || schema.type.length !== 2 || !schema.type.includes("null")) return schema;
  return { ...schema, type: schema.type.find((/** @type {string} */ each) => each !== "null"), optional: true };
}

/** @param {any} schema @param {string} label @returns {SchemaForm} */
function list(schema, label) {
  /** @type {{form: SchemaForm, row: HTMLElement}[]} */
  let rows = [];
  const place = h("div", {});
  const add = (/** @type {any} */ value = undefined) => {
    const form = part(schema.items, `${label} ${rows.length + 1}`);
    const remove = h("button", { type: "button", class: "quiet", "aria-label": t("Remove: {text}", { text: `${label} ${rows.length + 1}` }),
      onclick: () => ((rows = rows.filter((each) => each.row !== row)), row.remove()) }, "×");
    const row = h("div", { class: "item" }, form.element, remove);
    if (value !== undefined) form.fill(value);
    rows.push({ form, row });
    place.append(row);
  };
  const fill = (/** @type {any} */ values) => {
    rows = [];
    place.replaceChildren();
    if (Array.isArray(values)) values.forEach(add);
  };
  fill(schema.default ?? Array.from({ length: Math.min(schema.minItems ?? 0, 20) }));
  return {
    element: h("fieldset", {}, h("legend", {}, label), schema.description && h("small", {}, schema.description), place,
      h("button", { type: "button", onclick: () => add() }, t("Add one"))),
    value: () => (schema.optional && rows.length === 0 ? undefined : rows.map(({ form }) => form.value())),
    fill,
  };
}

/** Return what JSON says. Raise an Error in the reader's language. @param {string} text */
export function parsed(text) {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Error(t("That is not JSON: {fault}", { fault: /** @type {Error} */ (error).message }));
  }
}

/** @param {any} value @returns {SchemaForm} */
const constant = (value) => ({ element: h("span", { hidden: true }), value: () => value, fill: () => {} });

/** @param {any} schema @returns {SchemaForm} */
function object(schema) {
  const required = schema.required ?? [];
  /** @type {[string, SchemaForm][]} */
  const members = Object.entries(schema.properties ?? {}).map(([name, each]) => {
    const some = /** @type {any} */ (each);
    return [name, part({ ...some, optional: !required.includes(name) && !("default" in some) }, some.title ?? name)];
  });
  return {
    element: h("div", {}, members.map(([, each]) => each.element)),
    value: () => Object.fromEntries(members.map(([name, each]) => [name, each.value()]).filter(([, value]) => value !== undefined)),
    fill: (value) => members.forEach(([name, each]) => value && name in value && each.fill(value[name])),
  };
}

/** @param {any[]} schemas @param {string} label @returns {SchemaForm} */
function choice(schemas, label) {
  const forms = schemas.map((each, index) => part(each, each.title ?? `${label} ${index + 1}`));
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
    value: () => (control.value.trim() === "" ? undefined : parsed(control.value)),
    fill: (value) => (control.value = JSON.stringify(value)),
  };
}
