/** The page: starts, keeps the bar at the top and the stream, and opens views. */

import { get, listeners } from "./api.js";
import { button, h, say, show } from "./dom.js";
import { address, close, isForEverybody, open, refresh, route } from "./router.js";
import { load, session, use } from "./session.js";
import { follow } from "./stream.js";
import { speak, t } from "./texts.js";
import { account } from "./views/account.js";
import { create } from "./views/create.js";
import { game } from "./views/game.js";
import { games, openGames } from "./views/games.js";
import { inbox } from "./views/inbox.js";
import { signIn } from "./views/signin.js";
import { watch } from "./views/watch.js";

const TITLE = "Galaxy";
const bar = /** @type {HTMLElement} */ (document.getElementById("bar"));
const connection = /** @type {HTMLElement} */ (document.getElementById("connection"));
/** @type {ReturnType<typeof follow> | null} */
let stream = null;
let unread = 0;

route("", games);
route("open", openGames);
route("create", create);
route("games/*", game);
route("inbox", inbox);
route("account", account);
route("watch/*", watch, { everybody: true });

/** Show the page to who is signed in, or how to sign in. */
export function begin() {
  drawBar();
  if (session.account !== null) {
    stream ??= follow({ message, state });
    void count();
  } else if (!isForEverybody()) {
    close();
    document.title = TITLE;
    return signIn(/** @type {HTMLElement} */ (document.getElementById("view")), begin);
  }
  return opened();
}

/** Open the view of the address; say why, where that fails. */
async function opened() {
  document.title = TITLE;
  try {
    await open();
  } catch (error) {
    failed(/** @type {import("./api.js").ApiError} */ (error));
  }
}

/** @param {import("./api.js").ApiError} error */
function failed(error) {
  if (error.status === 401) return; // the sign-in is shown
  const view = /** @type {HTMLElement} */ (document.getElementById("view"));
  show(view, h("section", { class: "card narrow" }, h("h1", {}, t("This cannot be shown")), h("p", { role: "alert" }, error.message),
    button(t("Try again"), opened)));
}

function drawBar() {
  const link = (/** @type {string} */ path, /** @type {string} */ text) =>
    h("a", { id: `to-${path || "mine"}`, href: `#/${path}`, "aria-current": address() === path ? "page" : null }, text);
  const inboxText = unread ? t("Inbox ({n})", { n: unread }) : t("Inbox");
  const links = [link("", t("My games")), link("open", t("Open games")), link("create", t("New game"))];
  const own = [link("inbox", inboxText), link("account", session.account?.display_name ?? "")];
  show(
    bar,
    h("a", { href: "#/", class: "brand" }, TITLE),
    session.account ? h("nav", { "aria-label": t("Pages") }, ...links, ...own)
      : isForEverybody() && h("nav", { "aria-label": t("Pages") }, h("a", { href: "#/" }, t("Sign in"))),
  );
}

async function count() {
  try {
    unread = (await get("notifications?unread=true&page_size=1")).total;
    drawBar();
  } catch {
    // the number in the bar is not worth a message
  }
}

/** @param {import("./stream.js").Message} event */
function message(event) {
  if (event.event === "session.revoked") return void load().catch(() => {}); // 401 signs out; it may be another's
  void count();
  void look(event);
  const text = event.data?.game ? t(event.event, event.data) : "";
  if (text && text !== event.event) say(text);
}

/** @param {import("./stream.js").Message} [event] */
async function look(event) {
  try {
    await refresh(event);
  } catch {
    // the view shows what it has; the state of the connection is shown on its own
  }
}

let before = "";
/** @param {"live" | "lost" | "ended"} now */
function state(now) {
  if (now === "ended") return listeners.signedOut();
  connection.hidden = now === "live";
  connection.textContent = now === "live" ? "" : t("Connection lost. Trying again …");
  if (now === "live" && before === "lost") void look();
  before = now;
}

listeners.signedOut = () => {
  const known = session.account !== null;
  use(null);
  stream?.stop();
  stream = null;
  connection.hidden = true;
  if (known) {
    say(t("You are signed out."));
    void begin();
  }
};
listeners.changed = () => void look();
listeners.reached = () => before === "lost" && stream?.hurry(); // the server is back

addEventListener("hashchange", () => void begin());
addEventListener("focus", () => void look());
document.addEventListener("visibilitychange", () => !document.hidden && void look());
setInterval(() => !document.hidden && void look(), 15_000);

speak(navigator.languages);
document.title = TITLE;
load()
  .catch((error) => error.status !== 401 && say(error.message, true))
  .then(begin);
