// The page of the mail sink. Whatever comes from a mail is set as text, never as markup; its HTML is shown by a
// document of its own in a sandboxed frame.
"use strict";

const $ = (id) => document.getElementById(id);
const PANES = ["html", "text", "source"];

let mails = [];
let chosen = null; // id of the mail that is shown
let shown = null; // that mail in full, once fetched
let pane = "html"; // the pane that is preferred where a mail has it
let seen = null; // ids that have been looked at, or were there before this page was
let known = new Set();
let fetching = false;
let stale = false;

// The list, which is fetched anew whenever the server says that it changed.

async function refresh() {
  if (fetching) { stale = true; return; }
  fetching = true;
  do {
    stale = false;
    try {
      const response = await fetch("/api/mails");
      if (response.ok) take(await response.json());
    } catch { /* the server is away: its event stream opens again when it is back, and refreshes */ }
  } while (stale);
  fetching = false;
}

function take(list) {
  const first = seen === null;
  mails = list;
  const ids = new Set(mails.map((mail) => mail.id));
  if (first) seen = new Set(ids);
  if (chosen !== null && !ids.has(chosen)) choose(null);
  const wanted = decodeURIComponent(location.hash.slice(1));
  if (chosen === null && mails.length) choose(ids.has(wanted) ? wanted : mails[0].id);
  draw(first ? ids : known);
  known = ids;
}

function matching() {
  const words = $("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  return mails.filter((mail) => {
    const text = [mail.subject, mail.from, ...mail.to, mail.code ?? ""].join("\n").toLowerCase();
    return words.every((word) => text.includes(word));
  });
}

function draw(old = known) {
  const found = matching();
  const unread = mails.filter((mail) => !seen.has(mail.id)).length;
  document.title = (unread ? `(${unread}) ` : "") + "Galaxy mail";
  document.querySelector("main").classList.toggle("bare", mails.length === 0);
  $("empty").hidden = mails.length > 0;
  $("mail").hidden = chosen === null;
  $("clear").disabled = mails.length === 0;
  $("list").replaceChildren(...found.map((mail) => item(mail, !old.has(mail.id))));
  if (mails.length && !found.length) $("list").append(make("p", "none", "No mail matches the search."));
  if (found.some((mail) => mail.id === chosen)) $("list").setAttribute("aria-activedescendant", `mail-${chosen}`);
  else $("list").removeAttribute("aria-activedescendant");
}

function make(tag, name, text) {
  const element = document.createElement(tag);
  element.className = name;
  element.textContent = text;
  return element;
}

function item(mail, fresh) {
  const row = make("div", "item", "");
  row.id = `mail-${mail.id}`;
  row.classList.toggle("unread", !seen.has(mail.id));
  row.classList.toggle("fresh", fresh);
  row.setAttribute("role", "option");
  row.setAttribute("aria-selected", String(mail.id === chosen));
  const time = make("time", "", ago(mail.at));
  time.dateTime = mail.at;
  time.title = new Date(mail.at).toLocaleString();
  row.append(make("b", "", mail.subject || "(no subject)"), time, make("span", "", mail.to.join(", ") || "(nobody)"));
  if (mail.code) row.append(make("code", "", grouped(mail.code)));
  row.addEventListener("click", () => { document.querySelector("main").classList.add("reading"); choose(mail.id); draw(); });
  return row;
}

function ago(at) {
  const seconds = (Date.now() - new Date(at)) / 1000;
  if (seconds < 45) return "just now";
  if (seconds < 3600) return `${Math.max(1, Math.round(seconds / 60))} min ago`;
  if (seconds < 86400) return `${Math.round(seconds / 3600)} h ago`;
  return new Date(at).toLocaleDateString();
}

const grouped = (code) => `${code.slice(0, 4)} ${code.slice(4)}`;

// One mail.

async function choose(id) {
  if (id === chosen) return;
  chosen = id;
  shown = null;
  history.replaceState(null, "", id === null ? location.pathname : `#${id}`);
  $("mail").hidden = id === null;
  frame("");
  if (id === null) return;
  seen.add(id);
  const mail = mails.find((each) => each.id === id);
  head(mail, mail.from, mail.to.join(", "));
  for (const name of ["text", "source"]) $(`pane-${name}`).textContent = "";
  try {
    const response = await fetch(`/api/mails/${id}`);
    if (!response.ok || chosen !== id) return;
    const full = await response.json();
    if (chosen !== id) return;
    shown = full;
    body();
  } catch { /* see refresh */ }
}

function head(mail, from, to) {
  $("subject").textContent = mail.subject || "(no subject)";
  $("from").textContent = from || "(nobody)";
  $("to").textContent = to || "(nobody)";
  $("at").textContent = new Date(mail.at).toLocaleString();
  $("at").dateTime = mail.at;
  $("code").hidden = !mail.code;
  $("digits").textContent = mail.code ? grouped(mail.code) : "";
  $("copy").textContent = "Copy";
}

function body() {
  $("pane-text").textContent = shown.text;
  $("pane-source").textContent = shown.source + (shown.truncated ? "\n… the rest is in the download" : "");
  frame(shown.html ? `/mails/${shown.id}.html` : "");
  $("download").href = `/mails/${shown.id}.eml`;
  $("tab-html").disabled = !shown.html;
  $("tab-text").disabled = !shown.text;
  show(pane);
}

function frame(address) { // a new one each time: what it shows is no step of the browser's history
  const next = $("pane-html").cloneNode();
  next.removeAttribute("src");
  if (address) next.src = address;
  $("pane-html").replaceWith(next);
}

function show(wanted) {
  const open = [wanted, ...PANES].find((name) => !$(`tab-${name}`).disabled);
  for (const name of PANES) {
    $(`tab-${name}`).setAttribute("aria-selected", String(name === open));
    $(`tab-${name}`).tabIndex = name === open ? 0 : -1;
    $(`pane-${name}`).hidden = name !== open;
  }
}

async function copy() {
  if (chosen === null || $("code").hidden) return;
  const code = $("digits").textContent.replaceAll(" ", "");
  try {
    await navigator.clipboard.writeText(code);
    $("copy").textContent = "Copied";
    setTimeout(() => { $("copy").textContent = "Copy"; }, 1500);
  } catch {
    getSelection().selectAllChildren($("digits")); // the browser keeps its clipboard to itself: Ctrl-C does it
  }
}

// What the person does.

function step(by) {
  const found = matching();
  if (!found.length) return;
  const at = found.findIndex((mail) => mail.id === chosen);
  choose(found[Math.min(found.length - 1, Math.max(0, at < 0 ? 0 : at + by))].id);
  draw();
  $(`mail-${chosen}`).scrollIntoView({ block: "nearest" });
}

async function clear() {
  const button = $("clear");
  if (!button.classList.toggle("sure")) {
    button.textContent = "Delete all";
    await fetch("/api/mails", { method: "DELETE" }).catch(() => {});
    return;
  }
  button.textContent = `Really delete ${mails.length}?`;
  setTimeout(() => { button.classList.remove("sure"); button.textContent = "Delete all"; }, 4000);
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target === $("search")) {
    if (event.key === "Escape") { $("search").value = ""; draw(); $("list").focus(); }
    if (event.key === "Enter" || event.key === "ArrowDown") { $("list").focus(); step(0); }
    return;
  }
  const inPane = event.target.closest("pre") && event.key.startsWith("Arrow"); // there they scroll
  const tab = event.target.getAttribute("role") === "tab" ? PANES.indexOf(event.target.id.slice(4)) : -1;
  const actions = {
    "/": () => $("search").focus(), c: copy, Escape: () => document.querySelector("main").classList.remove("reading"),
    j: () => step(1), k: () => step(-1), 1: () => prefer("html"), 2: () => prefer("text"), 3: () => prefer("source"),
  };
  if (!inPane) {
    Object.assign(actions, {
      ArrowDown: () => step(1), ArrowUp: () => step(-1), Home: () => step(-Infinity), End: () => step(Infinity),
    });
  }
  if (tab >= 0) {
    actions.ArrowRight = () => turn(tab, 1);
    actions.ArrowLeft = () => turn(tab, -1);
  }
  if (!(event.key in actions)) return;
  event.preventDefault();
  actions[event.key]();
}

function prefer(name) {
  pane = name;
  if (shown) show(name);
}

function turn(from, by) {
  for (let at = from + by; at >= 0 && at < PANES.length; at += by) {
    if ($(`tab-${PANES[at]}`).disabled) continue;
    prefer(PANES[at]);
    $(`tab-${PANES[at]}`).focus();
    return;
  }
}

for (const name of PANES) $(`tab-${name}`).addEventListener("click", () => prefer(name));
$("copy").addEventListener("click", copy);
$("clear").addEventListener("click", clear);
$("back").addEventListener("click", () => document.querySelector("main").classList.remove("reading"));
$("search").addEventListener("input", () => draw());
addEventListener("keydown", onKey);
setInterval(() => {
  for (const time of document.querySelectorAll("#list time")) time.textContent = ago(time.dateTime);
}, 15000);

const events = new EventSource("/api/events");
events.addEventListener("open", () => { $("live").textContent = "live"; $("live").className = "live on"; refresh(); });
events.addEventListener("error", () => { $("live").textContent = "waiting for the backend"; $("live").className = "live"; });
events.addEventListener("changed", refresh);
