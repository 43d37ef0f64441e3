/** Calls of the API. The session is in a cookie that no script can read. */

import { t } from "./texts.js";

const USER = "/api/v1/user/";
const PUBLIC = "/api/v1/public/";
const tabs = new BroadcastChannel("galaxy");

/** What the server answered instead of what was wanted (RFC 9457), or that it did not answer. */
export class ApiError extends Error {
  /**
   * @param {number} status 0: there was no answer
   * @param {{code?: string, detail?: string, title?: string, errors?: {field: string, message: string}[]}} problem
   */
  constructor(status, problem) {
    super(worded(status, problem));
    this.status = status;
    this.code = problem.code ?? "";
    this.faults = problem.errors ?? [];
  }
}

/**
 * @param {number} status
 * @param {{code?: string, detail?: string, title?: string, errors?: {field: string, message: string}[]}} problem
 */
function worded(status, problem) {
  if (status === 0) return t("The server cannot be reached. Try again in a moment.");
  const own = t(`code:${problem.code}`);
  const said = own === `code:${problem.code}` ? (problem.detail ?? problem.title ?? String(status)) : own;
  const faults = (problem.errors ?? []).map((each) => `${each.field}: ${each.message}`);
  return [said, ...faults].join(" ");
}

/**
 * Return a handler that turns errors of one status into a value; others are thrown again.
 * @template T
 * @param {number} status
 * @param {T} value
 * @returns {(error: any) => T}
 */
export function unless(status, value) {
  return (error) => {
    if (error.status === status) return value;
    throw error;
  };
}

/**
 * Called when the session turns out to have ended, when another tab changed something, and when the server answered.
 * @type {{signedOut: () => void, changed: () => void, reached: () => void}}
 */
export const listeners = { signedOut: () => {}, changed: () => {}, reached: () => {} };
tabs.onmessage = () => listeners.changed();

/**
 * @param {string} method
 * @param {string} path
 * @param {any} [body]
 * @param {Record<string, string>} [more]
 * @returns {Promise<any>}
 */
async function call(method, path, body, more = {}) {
  /** @type {Record<string, string>} */
  const headers = { Accept: "application/json", ...more };
  if (method !== "GET") headers["Idempotency-Key"] = `"${key()}"`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const [answer, text] = await sent(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  const document = text === "" ? null : parsed(text);
  if (answer.ok) {
    listeners.reached();
    if (method !== "GET") tabs.postMessage(path);
    return document;
  }
  if (answer.status === 401 && path.startsWith(USER)) listeners.signedOut();
  throw new ApiError(answer.status, document ?? {});
}

/** Milliseconds until what got no answer is sent again: connections break when a network comes or goes. */
const PAUSES = [300, 1500];

/**
 * Return the answer to a request, with its text. One that gets none is sent again; its Idempotency-Key has it carried
 * out once. Raise ApiError where there is no answer.
 * @param {string} path
 * @param {RequestInit} request
 * @returns {Promise<[Response, string]>}
 */
async function sent(path, request) {
  for (let tries = 0; ; tries++) {
    try {
      const answer = await fetch(path, request);
      const stillRunning = tries > 0 && answer.status === 409 && answer.headers.has("Retry-After");
      if (!stillRunning || tries >= PAUSES.length) return [answer, await answer.text()];
    } catch {
      if (tries >= PAUSES.length) throw new ApiError(0, {});
    }
    await new Promise((resolve) => setTimeout(resolve, PAUSES[tries]));
  }
}

/** @param {string} text */
function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** Return a random key; `crypto.randomUUID` is absent from pages without TLS on other hosts. */
function key() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

export const get = (/** @type {string} */ path) => call("GET", USER + path);
/** What everybody may see, without a session. */
export const look = (/** @type {string} */ path) => call("GET", PUBLIC + path);
export const post = (/** @type {string} */ path, /** @type {any} */ body = undefined) => call("POST", USER + path, body);
export const patch = (/** @type {string} */ path, /** @type {any} */ body) => call("PATCH", USER + path, body);
export const remove = (/** @type {string} */ path) => call("DELETE", USER + path);
export const put = (/** @type {string} */ path, /** @type {any} */ body, /** @type {Record<string, string>} */ more = {}) =>
  call("PUT", USER + path, body, more);

/** Ask for a sign-in code. @param {string} email @param {string} locale */
export const sendCode = (email, locale) => call("POST", `${PUBLIC}auth/send-email-code`, { email, locale });

/** Sign in; the session's token goes into the cookie. @param {Record<string, string>} body */
export const confirmCode = (body) =>
  call("POST", `${PUBLIC}auth/confirm-email-code`, body, { "X-Galaxy-Session": "cookie" });

/**
 * Return every item of a list that has pages.
 * @param {string} path
 */
export async function all(path) {
  const items = [];
  for (let page = 1; ; page++) {
    const answer = await get(`${path}${path.includes("?") ? "&" : "?"}page=${page}&page_size=200`);
    items.push(...answer.items);
    if (answer.items.length === 0 || items.length >= answer.total) return items;
  }
}
