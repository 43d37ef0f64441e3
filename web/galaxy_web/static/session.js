/** Who is signed in, as far as this page knows. */

import { confirmCode, get, remove } from "./api.js";
import { speak } from "./texts.js";
import { useZone } from "./time.js";

/** @typedef {{id: string, email: string, display_name: string, language: string, time_zone: string}} Account */

/** @type {{account: Account | null}} */
export const session = { account: null };

/** Find out who is signed in; a refusal leaves nobody. */
export async function load() {
  use(await get("account"));
}

/** @param {Account | null} account */
export function use(account) {
  session.account = account;
  useZone(account?.time_zone);
  if (account) speak([account.language]);
}

/**
 * Sign in with the code of a mail.
 * @param {string} challenge
 * @param {string} code
 */
export async function signIn(challenge, code) {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const body = { challenge_id: challenge, code, device_name: device(), time_zone: zone, language: navigator.language };
  use((await confirmCode(body)).account);
}

/** End this session. */
export async function signOut() {
  const { items } = await get("sessions?page_size=200");
  const current = items.find((/** @type {any} */ each) => each.current);
  if (current) await remove(`sessions/${current.id}`);
}

function device() {
  const agent = navigator.userAgent;
  const browser = ["Firefox", "Edg", "Chrome", "Safari"].find((name) => agent.includes(name)) ?? "Browser";
  const system = ["Android", "iPhone", "iPad", "Windows", "Mac OS", "Linux"].find((name) => agent.includes(name));
  return (browser === "Edg" ? "Edge" : browser) + (system ? ` (${system})` : "");
}
