// The pairs: cards of one page, marked by button or key.

import { latest, picture, post } from "./api.js";
import { asked, change, listen, query } from "./asked.js";
import { byId, count, decimal, element } from "./dom.js";
import { open } from "./details.js";
import { like } from "./search.js";

const PAGE = 48;
const askPage = latest("api/page");
let state = null;
let shown = []; // pairs of this page
let total = 0;
let waiting = 0;

export function begin(known) {
  state = known;
  listen((kind) => kind !== "marks" && load());
  byId("previous").addEventListener("click", () => turn(-1));
  byId("next").addEventListener("click", () => turn(1));
  byId("go").addEventListener("change", () => {
    const wanted = Number(byId("go").value);
    if (wanted >= 1) change({ start: Math.floor((Math.min(wanted, total) - 1) / PAGE) * PAGE }, "page");
  });
  byId("results").addEventListener("keydown", pressed);
  byId("undo").addEventListener("click", undo);
  sayMarks(known.marks);
}

export function failed(error) {
  clearTimeout(waiting);
  byId("error").hidden = false;
  byId("error").textContent = error.message;
  return null;
}

export async function load({ focus = false } = {}) {
  const body = { query: query(), start: asked.start, count: PAGE };
  const began = performance.now();
  clearTimeout(waiting);
  waiting = setTimeout(() => (byId("status").textContent = "looking…"), 300);
  const page = await askPage(body).catch((error) => {
    byId("status").textContent = "";
    return failed(error);
  });
  if (!page) return;
  clearTimeout(waiting);
  byId("error").hidden = true;
  [shown, total] = [page.pairs.map((pair) => ({ ...pair, before: pair.mark })), page.total];
  byId("results").replaceChildren(...shown.map(card));
  const last = Math.min(asked.start + PAGE, total);
  byId("status").textContent = total
    ? `${count(total)} pairs in ${Math.round(performance.now() - began)} ms`
    : "no pair is like that";
  byId("where").textContent = total ? `${count(asked.start + 1)} to ${count(last)} of ${count(total)}` : "";
  byId("previous").disabled = asked.start === 0;
  byId("next").disabled = last >= total;
  byId("go").max = total;
  byId("pager").hidden = total <= PAGE;
  if (focus) focusOn(0);
}

function turn(step) {
  // where marks are filtered by, a changed one has left the list, and those behind have moved up
  const filtered = asked.conditions.some(({ column }) => column === "mark");
  const gone = filtered ? shown.filter((one) => one.mark !== one.before).length : 0;
  const start = Math.max(asked.start + step * PAGE - (step > 0 ? gone : 0), 0);
  if (start === asked.start && !gone) return;
  if (start >= total - gone && step > 0) return;
  asked.start = start;
  load({ focus: true });
  byId("results-title").scrollIntoView();
}

// --- a card

function card(pair, at) {
  const words = pair.text ?? "";
  const name = words || "a picture without a text";
  const look = element(
    "button",
    { type: "button", class: "picture", "aria-label": `Look at: ${name}`, onclick: () => open(pair) },
    state.pictures
      ? element("img", { src: picture("thumb", pair), alt: "", loading: "lazy" })
      : "no picture",
  );
  const made = element(
    "article",
    { tabindex: at === 0 ? "0" : "-1", "aria-label": name.slice(0, 200), "data-at": at },
    look,
    element("p", { dir: "auto", class: "text" }, element("bdi", {}, words || "(no text)")),
    element("p", { class: "about" }, ...tags(pair), about(pair)),
    marks(pair),
  );
  return element("li", {}, made);
}

export function tags(pair) {
  const found = [];
  if (pair.reason) found.push(element("span", { class: "tag stop" }, `× ${pair.reason} `));
  for (const [name, verdict] of Object.entries(pair.selections)) {
    const label = Object.keys(pair.selections).length > 1 ? `${name}: ` : "";
    if (verdict === "selected") found.push(element("span", { class: "tag good" }, `✓ ${label}selected `));
    else if (!pair.reason) found.push(element("span", { class: "tag stop" }, `× ${label}${verdict} `));
  }
  return found;
}

export function about(pair) {
  const scores = Object.entries(pair.scores)
    .filter(([, value]) => value !== null)
    .map(([name, value]) => `${name}\u00a0${value.toFixed(3)}`);
  const close = pair.closeness === null ? [] : [`match\u00a0${decimal(pair.closeness)}`];
  return [pair.source ?? "unknown", ...scores, ...close].join(" · ");
}

function marks(pair) {
  const button = (label, good) => {
    const pressed = pair.mark === label;
    return element(
      "button",
      { type: "button", class: `mark ${label}`, "aria-pressed": String(pressed), onclick: () => mark(pair, pressed ? null : good) },
      label === "good" ? "Good" : "Bad",
    );
  };
  const group = { class: "buttons", role: "group", "aria-label": "Mark this pair" };
  const similar = state.embeddings
    ? element("button", { type: "button", class: "similar", onclick: () => like(pair) }, "Similar")
    : null;
  return element("div", group, button("good", true), button("bad", false), similar);
}

// --- marking

let saved = Promise.resolve();

// One after the other, in the order of the keys, however fast they come.
function mark(pair, good) {
  saved = saved.then(() => save(pair, good));
  return saved;
}

async function save(pair, good) {
  if (pair.text === null) return;
  const said = await post("api/mark", { place: pair.place, good }).catch(failed);
  if (!said) return;
  const label = good === null ? null : good ? "good" : "bad";
  for (const one of shown) if (one.uid === pair.uid && one.text === pair.text) one.mark = label;
  shown.forEach((one, at) => {
    for (const button of articles()[at]?.querySelectorAll(".mark") ?? []) {
      button.setAttribute("aria-pressed", String(button.classList.contains(one.mark)));
    }
  });
  sayMarks(said.marks);
  change({}, "marks");
}

async function undo() {
  await saved;
  const said = await post("api/undo", {}).catch(failed);
  if (!said) return;
  sayMarks(said.marks);
  if (!said.undone) byId("marks").append(" Nothing is left to undo in this sitting.");
  load();
}

function sayMarks({ good, bad }) {
  byId("marks").textContent = `${count(good)} good, ${count(bad)} bad. Saved with the run.`;
}

// --- keys

const articles = () => [...byId("results").querySelectorAll("article")];

function focusOn(at) {
  const all = articles();
  const wanted = all[Math.min(Math.max(at, 0), all.length - 1)];
  if (!wanted) return;
  for (const one of all) one.tabIndex = -1;
  wanted.tabIndex = 0;
  wanted.focus();
}

function perRow() {
  const all = articles();
  const top = all[0]?.offsetTop;
  const next = all.findIndex((one) => one.offsetTop !== top);
  return next < 0 ? all.length : next;
}

function pressed(event) {
  const article = event.target.closest("article");
  if (!article || event.ctrlKey || event.metaKey || event.altKey) return;
  const at = Number(article.dataset.at);
  const go = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -perRow(), ArrowDown: perRow() }[event.key];
  const good = { g: true, b: false, u: null }[event.key];
  if (go !== undefined) focusOn(at + go);
  else if (good !== undefined) {
    mark(shown[at], good);
    if (event.key !== "u") focusOn(at + 1);
  } else if (event.key === "Enter" && event.target === article) open(shown[at]);
  else if (event.key === "n") turn(1);
  else if (event.key === "p") turn(-1);
  else return;
  event.preventDefault();
}
