// The threshold: a histogram, a slider, what it does to the pairs shown, and what marks say of it.

import { latest, post } from "./api.js";
import { asked, change, listen, members } from "./asked.js";
import { byId, count, decimal, drawing, element, options, percent } from "./dom.js";
import { failed } from "./results.js";

const WIDTH = 560;
const HEIGHT = 120;
const NAMES = { web: "web texts", synthetic: "synthetic captions", human: "human texts" };
const KNOWN = Object.keys(NAMES);

const askEffect = latest("api/effect");
const askHistogram = latest("api/histogram");
let selections = [];
let edges = [0, 1];
let settled = 0;

export function begin(state) {
  selections = state.selections;
  if (!state.scores.length) {
    byId("threshold-section").hidden = true;
    return;
  }
  const start = selections.find(({ name }) => name === "default") ?? selections[0];
  const column = start?.column ?? state.scores.at(-1);
  options(byId("score"), state.scores.map((name) => [name, name]), column);
  const against = start ? start.name : null;
  asked.threshold = { column, value: start?.threshold ?? 0.5, against };
  showAgainst();
  byId("score").addEventListener("change", () => move({ column: byId("score").value }));
  byId("against").addEventListener("change", compare);
  byId("fix").addEventListener("click", () => {
    move({ against: asked.threshold.value });
    showAgainst();
  });
  byId("slider").addEventListener("input", () => move({ value: short(byId("slider").value) }));
  byId("value").addEventListener("change", () => {
    if (byId("value").value !== "") move({ value: Number(byId("value").value) });
  });
  byId("only-shifted").addEventListener("change", () =>
    change({ shifted: byId("only-shifted").checked }, "order"),
  );
  for (const id of ["measure", "wanted"]) byId(id).addEventListener("change", calibrate);
  byId("calibration").addEventListener("toggle", calibrate);
  listen(async (kind) => {
    if (kind === "members") await Promise.all([draw(), effect(), calibrate()]);
    if (kind === "marks") await calibrate();
  });
}

// a slider gives long decimals
const short = (text) => Number(Number(text).toPrecision(4));

function showAgainst() {
  const { against } = asked.threshold;
  const entries = selections.map(({ name }) => [`s:${name}`, `selection ${name}`]);
  if (typeof against === "number") entries.push([`t:${against}`, `threshold ${decimal(against)}`]);
  entries.push(["", "nothing"]);
  const chosen = typeof against === "number" ? `t:${against}` : against ? `s:${against}` : "";
  options(byId("against"), entries, chosen);
}

function compare() {
  const [kind, value] = [byId("against").value[0], byId("against").value.slice(2)];
  move({ against: kind === "s" ? value : kind === "t" ? Number(value) : null });
}

async function move(changes) {
  const other = changes.column && changes.column !== asked.threshold.column;
  asked.threshold = { ...asked.threshold, ...changes };
  if (other && typeof asked.threshold.against === "number") {
    asked.threshold.against = null;
    showAgainst();
  }
  if (other) await draw();
  place();
  await effect();
  if (other) await calibrate();
  // the list follows when the slider rests
  clearTimeout(settled);
  settled = setTimeout(() => asked.shifted && change({}, "order"), 200);
}

function place() {
  const { value } = asked.threshold;
  byId("slider").value = value;
  byId("value").value = value;
  const [low, high] = [edges[0], edges.at(-1)];
  const across = ((Math.min(Math.max(value, low), high) - low) / (high - low)) * WIDTH;
  for (const name of ["x1", "x2"]) byId("cut")?.setAttribute(name, across);
}

export async function draw() {
  const body = { query: members(), column: asked.threshold.column };
  const found = await askHistogram(body).catch(failed);
  if (!found) return;
  edges = found.edges;
  const series = Object.entries(found.counts);
  const totals = edges.slice(1).map((_, bin) => series.reduce((sum, [, one]) => sum + one[bin], 0));
  const most = Math.max(1, ...totals);
  const step = WIDTH / totals.length;
  const below = totals.map(() => HEIGHT);
  const bars = series.flatMap(([name, counts]) =>
    counts.map((value, bin) => {
      const height = (value / most) * (HEIGHT - 4);
      below[bin] -= height;
      const shape = { x: bin * step, y: below[bin], width: Math.max(step - 0.5, 0.5), height };
      return value ? drawing("rect", { ...shape, class: `series ${kindOf(name)}` }) : "";
    }),
  );
  const title = drawing("title", { id: "histogram-title" }, said(series));
  const axis = drawing("line", { x1: 0, x2: WIDTH, y1: HEIGHT, y2: HEIGHT, class: "axis" });
  const cut = drawing("line", { id: "cut", y1: 0, y2: HEIGHT, class: "threshold" });
  byId("histogram").replaceChildren(title, ...bars.filter(Boolean), axis, cut);
  byId("legend").replaceChildren(
    element("span", {}, decimal(edges[0])),
    ...series.map(([name]) =>
      element("span", { class: `key ${kindOf(name)}` }, NAMES[name] ?? name),
    ),
    element("span", {}, decimal(edges.at(-1))),
  );
  Object.assign(byId("slider"), { min: edges[0], max: edges.at(-1), step: "any" });
  place();
}

const kindOf = (name) => (KNOWN.includes(name) ? name : "other");

function said(series) {
  const parts = series.map(([name, counts]) => {
    const total = counts.reduce((sum, one) => sum + one, 0);
    return `${count(total)} ${NAMES[name] ?? name}`;
  });
  return `Histogram of ${asked.threshold.column}: ${parts.join(", ") || "no scores"}`;
}

async function effect() {
  const body = { query: members(), threshold: asked.threshold };
  const found = await askEffect(body).catch(failed);
  if (!found) return;
  const facts = [
    ["pairs that remain", percent(found.kept, found.scored) || "none", `${count(found.kept)} of ${count(found.scored)} with this score`],
    ["images that remain", percent(found.images_kept, found.images) || "none", `${count(found.images_kept)} of ${count(found.images)}`],
    ...Object.entries(found.sources)
      .filter(([, [scored]]) => scored)
      .map(([name, [scored, kept]]) => [NAMES[name] ?? name, percent(kept, scored), `${count(kept)} of ${count(scored)}`]),
  ];
  if (asked.threshold.against !== null) {
    facts.push(["change side", count(found.gained + found.lost), `${count(found.gained)} newly kept, ${count(found.lost)} newly dropped`]);
  }
  if (found.unscored) facts.push(["not scored", count(found.unscored), "left as they are"]);
  byId("effect").replaceChildren(
    ...facts.map(([name, value, more]) =>
      element("div", {}, element("dt", {}, name), element("dd", {}, value, element("small", {}, more))),
    ),
  );
}

// --- what the marks say

async function calibrate() {
  if (!byId("calibration").open) return;
  const wanted = Number(byId("wanted").value);
  if (!(wanted > 0 && wanted <= 1)) return;
  const measure = byId("measure").value;
  const body = { query: members(), column: asked.threshold.column, measure, value: wanted };
  const answer = await post("api/calibrate", body).catch(failed);
  if (!answer) return;
  const { marks, found } = answer;
  if (!found) {
    const words = `${count(marks.good)} good and ${count(marks.bad)} bad marks in all: both kinds are needed among the pairs shown, a hundred or more for a narrow interval.`;
    byId("calibrated").replaceChildren(element("p", {}, words));
    return;
  }
  byId("calibrated").replaceChildren(choice(found, measure, wanted), table(found));
}

const share = ({ value }) => (value === null ? "–" : `${(100 * value).toFixed(1)}%`);
const span = ({ low, high }) => (low === null ? "" : ` (${(100 * low).toFixed(0)} to ${(100 * high).toFixed(0)}%)`);

function choice(found, measure, wanted) {
  const counted = `${count(found.num_texts)} marked pairs, ${count(found.num_wrong)} of them bad.`;
  if (!found.chosen) {
    const best = found.best === null ? "" : `; the best is ${(100 * found.best).toFixed(1)}%`;
    return element("p", {}, `${counted} No threshold reaches a ${measure} of ${wanted}${best}.`);
  }
  const { threshold } = found.chosen;
  const interval = `95% interval ${decimal(found.threshold.low)} to ${decimal(found.threshold.high)}`;
  const words = `${counted} A ${measure} of ${wanted}: threshold ${decimal(threshold)}, ${interval}. `;
  const go = element("button", { type: "button", onclick: () => move({ value: threshold }) }, "Move the threshold there");
  return element("p", {}, words, go);
}

function table(found) {
  const head = ["threshold", "bad let through", "kept", "precision", "recall"];
  const points = [...found.points, ...(found.chosen ? [found.chosen] : [])];
  const rows = [...new Map(points.map((one) => [one.threshold, one])).values()];
  rows.sort((left, right) => left.threshold - right.threshold);
  const shares = (one) => [one.let_through, one.accepted, one.precision, one.recall];
  return element(
    "div",
    { class: "scroll", role: "group", "aria-label": "Thresholds", tabindex: "0" },
    element(
      "table",
      {},
      element("caption", {}, "Shares with their 95% intervals, counted on the marked pairs"),
      element("thead", {}, element("tr", {}, ...head.map((one) => element("th", { scope: "col", class: "number" }, one)))),
      element(
        "tbody",
        {},
        ...rows.map((one) =>
          element(
            "tr",
            {},
            element("th", { scope: "row", class: "number" }, decimal(one.threshold)),
            ...shares(one).map((each) => element("td", { class: "number" }, share(each) + span(each))),
          ),
        ),
      ),
    ),
  );
}
