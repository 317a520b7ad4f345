// The application's beginning: what there is, then the parts of the page, then the first pairs.

import * as api from "./api.js";
import { asked, change } from "./asked.js";
import * as details from "./details.js";
import { byId, count, options } from "./dom.js";
import * as filters from "./filters.js";
import * as results from "./results.js";
import * as search from "./search.js";
import * as threshold from "./threshold.js";

function order(state) {
  const numbers = state.columns.filter(({ kind }) => kind === "number").map(({ name }) => name);
  const others = numbers.filter((name) => !state.scores.includes(name));
  options(byId("sort"), [
    ["", "best match, else as in the run"],
    ["order:random", "random, a fair sample"],
    ...[...state.scores, ...others].map((name) => [name, name]),
  ]);
  const changed = () =>
    change({ sort: byId("sort").value, descending: byId("descending").checked }, "order");
  byId("sort").addEventListener("change", changed);
  byId("descending").addEventListener("change", changed);
}

function keys() {
  byId("keys-open").addEventListener("click", () => byId("keys").showModal());
  byId("keys-close").addEventListener("click", () => byId("keys").close());
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.target.closest("input, select, textarea, dialog")) return;
    event.preventDefault();
    byId("words").closest("details").open = true;
    byId("words").focus();
  });
}

async function begin() {
  const state = await api.begin();
  document.title = `${state.name}: pairs`;
  byId("name").textContent = state.name;
  byId("about").textContent = `${count(state.pairs)} pairs of ${count(state.images)} images in ${state.run}`;
  if (matchMedia("(max-width: 60rem)").matches) {
    for (const one of document.querySelectorAll(".controls > details")) one.open = false;
  }
  results.begin(state);
  details.begin();
  filters.begin(state);
  search.begin(state);
  threshold.begin(state);
  order(state);
  keys();
  asked.descending = byId("descending").checked;
  change({});
}

begin().catch(results.failed);
