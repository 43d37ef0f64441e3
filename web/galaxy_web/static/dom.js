/** Elements without a framework: text is always text, so nothing that an engine or a player wrote becomes markup. */

/** @typedef {Node | string | number | null | undefined | false} Child */

const SVG = "http://www.w3.org/2000/svg";

/**
 * Return an HTML element. Attributes that begin with `on` are listeners, `true` is an attribute without a value.
 * @param {string} name
 * @param {Record<string, any>} [attributes]
 * @param {...(Child | Child[])} children
 * @returns {any}
 */
export function h(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

/**
 * Return an SVG element.
 * @param {string} name
 * @param {Record<string, any>} [attributes]
 * @param {...(Child | Child[])} children
 * @returns {any}
 */
export function s(name, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

/**
 * @param {Element} element
 * @param {Record<string, any>} attributes
 * @param {(Child | Child[])[]} children
 */
function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value") /** @type {any} */ (element).value = value;
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, String(value));
  }
  append(element, children);
  if ("value" in attributes) /** @type {any} */ (element).value = attributes.value; // a select has its options now
  return element;
}

/**
 * @param {Element} element
 * @param {(Child | Child[])[]} children
 */
function append(element, children) {
  for (const child of children.flat()) {
    if (child !== null && child !== undefined && child !== false) element.append(/** @type {any} */ (child));
  }
}

/**
 * Replace what an element holds; the focus stays on the element of the same id, and what was typed there is kept.
 * @param {Element} element
 * @param {...(Child | Child[])} children
 */
export function show(element, ...children) {
  const focused = document.activeElement;
  const id = focused && element.contains(focused) ? focused.id : "";
  element.replaceChildren();
  append(element, children);
  if (id) document.getElementById(id)?.focus({ preventScroll: true });
}

/**
 * Say something to people who see the page and to those who hear it; it goes away by itself.
 * @param {string} text
 * @param {boolean} [bad]
 */
export function say(text, bad = false) {
  const place = /** @type {HTMLElement} */ (document.getElementById("said"));
  place.textContent = text;
  place.className = bad ? "bad" : "";
  clearTimeout(timer);
  timer = window.setTimeout(() => (place.textContent = ""), bad ? 12_000 : 5_000);
}
let timer = 0;

/**
 * Return a form with a label for each field and one button; while it is being sent, it cannot be sent again.
 * @param {{fields: Child[], button: string, id?: string, send: (form: HTMLFormElement) => Promise<any>}} parts
 */
export function form({ fields, button, id, send }) {
  const fault = h("p", { role: "alert", class: "fault" });
  const submit = h("button", { type: "submit" }, button);
  return h("form", { id, onsubmit: submitted }, ...fields, fault, submit);

  /** @param {SubmitEvent} event */
  async function submitted(event) {
    event.preventDefault();
    submit.disabled = true;
    fault.textContent = "";
    try {
      await send(/** @type {HTMLFormElement} */ (event.currentTarget));
    } catch (error) {
      fault.textContent = /** @type {Error} */ (error).message;
    } finally {
      submit.disabled = false;
    }
  }
}

/**
 * Return a button that does something and says what went wrong.
 * @param {string} text
 * @param {() => Promise<any> | void} act
 * @param {Record<string, any>} [attributes]
 */
export function button(text, act, attributes = {}) {
  return h("button", { type: "button", ...attributes, onclick: clicked }, text);

  /** @param {MouseEvent} event */
  async function clicked(event) {
    const pressed = /** @type {HTMLButtonElement} */ (event.currentTarget);
    pressed.disabled = true;
    try {
      await act();
    } catch (error) {
      say(/** @type {Error} */ (error).message, true);
    } finally {
      pressed.disabled = false;
    }
  }
}

/**
 * Return a labelled field.
 * @param {string} label
 * @param {Element} input
 * @param {string} [hint]
 */
export function field(label, input, hint) {
  return h("label", { class: "field" }, h("span", {}, label), input, hint && h("small", {}, hint));
}
