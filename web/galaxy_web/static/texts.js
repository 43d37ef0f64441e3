/** Texts in the reader's language. English texts are the keys of the other languages' dictionaries. */

import german from "./de.js";

/** @type {Record<string, Record<string, string>>} */
const DICTIONARIES = { en: {}, de: german };

export const LANGUAGES = { en: "English", de: "Deutsch" };

let language = "en";

/**
 * Use a language, or the nearest that there is.
 * @param {readonly string[]} wanted BCP 47 tags, the best one first
 */
export function speak(wanted) {
  language = wanted.map((tag) => tag.slice(0, 2).toLowerCase()).find((tag) => tag in DICTIONARIES) ?? "en";
  document.documentElement.lang = language;
}

export const spoken = () => language;

/**
 * Return a text with its places filled in.
 * @param {string} text
 * @param {Record<string, string | number>} [places]
 */
export function t(text, places = {}) {
  const found = DICTIONARIES[language]?.[text] ?? ENGLISH[text] ?? text;
  return found.replace(/\{(\w+)\}/g, (whole, name) => String(places[name] ?? whole));
}

/** Words for what the API says by codes. @type {Record<string, string>} */
const ENGLISH = {
  "code:code_wrong": "That is not the code of the mail. Check it and try again.",
  "code:not_found": "It does not exist, or you may not see it.",
  "code:orders_changed": "These orders were changed elsewhere. What is stored now is shown.",
  "code:turn_over": "That turn is over; a new one has begun.",
  "code:turn_running": "The turn is being run. Orders are open again in a moment.",
  "code:too_many_requests": "Too many requests. Wait a moment.",
  "state:draft": "draft",
  "state:enrolling": "open for players",
  "state:ready": "ready to start",
  "state:starting": "starting",
  "state:running": "running",
  "state:paused": "paused",
  "state:finished": "finished",
  "state:cancelled": "cancelled",
  "state:start_failed": "could not be started",
  "seat:enrolled": "joined",
  "seat:playing": "playing",
  "seat:eliminated": "eliminated",
  "seat:resigned": "resigned",
  "seat:removed": "removed",
  "seat:replaced": "replaced",
  "seat:finished": "finished",
  "lobby.invited": "{inviter} invited you to {game}.",
  "lobby.joined": "{player} joined {game}.",
  "lobby.left": "{player} left {game}.",
  "lobby.started": "{game} has started.",
  "lobby.start_failed": "{game} could not be started.",
  "lobby.turn_ready": "Turn {turn} of {game} awaits your orders.",
  "lobby.turn_missed": "Turn {turn} of {game} ran without your orders.",
  "lobby.deadline_near": "{game} runs soon, and you have sent no orders.",
  "lobby.postponed": "The next turn of {game} was moved to later.",
  "lobby.paused": "{game} was paused.",
  "lobby.resumed": "{game} goes on.",
  "lobby.seat_vacant": "{player} has left {game}.",
  "lobby.eliminated": "You were eliminated from {game}.",
  "lobby.finished": "{game} is over.",
  "lobby.cancelled": "{game} was cancelled.",
  "auth.new_device": "Somebody signed in to your account on a new device.",
};
