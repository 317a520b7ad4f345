// The form of filters: a column, a comparison that fits it, and a value.

import { asked, change } from "./asked.js";
import { byId, element, options } from "./dom.js";

const WORDS = {
  "=": "is",
  "!=": "is not",
  "<": "is below",
  "<=": "is at most",
  ">": "is above",
  ">=": "is at least",
  contains: "contains",
  lacks: "does not contain",
  begins: "begins with",
  missing: "is missing",
  present: "is there",
};

let columns = new Map();

export function begin(state) {
  columns = new Map(state.columns.map((column) => [column.name, column]));
  const first = state.scores[0] ?? "text";
  options(byId("filter-column"), state.columns.map(({ name }) => [name, name]), first);
  byId("filter-column").addEventListener("change", fit);
  byId("filter-operator").addEventListener("change", fitValue);
  byId("filter").addEventListener("submit", add);
  fit();
  show();
}

function fit() {
  const column = columns.get(byId("filter-column").value);
  const usual = { number: ">=", flag: "=", text: column.values ? "=" : "contains" }[column.kind];
  options(byId("filter-operator"), column.operators.map((one) => [one, WORDS[one]]), usual);
  fitValue();
}

function fitValue() {
  const column = columns.get(byId("filter-column").value);
  const operator = byId("filter-operator").value;
  const input = byId("filter-value");
  const choice = byId("filter-choice");
  const values = column.kind === "flag" ? ["true", "false"] : column.values;
  const choose = Boolean(values) && ["=", "!="].includes(operator);
  byId("filter-value-row").hidden = operator === "missing" || operator === "present";
  choice.hidden = !choose;
  input.hidden = choose;
  byId("filter-value-label").htmlFor = choose ? choice.id : input.id;
  input.type = column.kind === "number" ? "number" : "text";
  input.step = "any";
  if (choose) options(choice, values.map((value) => [value, value]));
}

function add(event) {
  event.preventDefault();
  const { name, kind } = columns.get(byId("filter-column").value);
  const operator = byId("filter-operator").value;
  const choice = byId("filter-choice");
  const input = byId("filter-value");
  let value = choice.hidden ? input.value : choice.value;
  if (byId("filter-value-row").hidden) value = null;
  else if (kind === "flag") value = value === "true";
  else if (kind === "number") {
    if (value === "") {
      input.focus();
      return;
    }
    value = Number(value);
  }
  change({ conditions: [...asked.conditions, { column: name, operator, value }] });
  show();
}

function show() {
  const items = asked.conditions.map((one, place) => {
    const value = one.value === null ? "" : ` ${one.value}`;
    const words = `${one.column} ${WORDS[one.operator]}${value}`;
    const remove = () => {
      change({ conditions: asked.conditions.filter((_, at) => at !== place) });
      show();
      byId("filter-column").focus();
    };
    return element(
      "li",
      {},
      element("span", {}, words),
      element("button", { type: "button", "aria-label": `Remove filter: ${words}`, onclick: remove }, "×"),
    );
  });
  byId("filters").replaceChildren(...items);
}
