// Elements made from data. Text is only ever set as text, so that no stranger's words are markup.

export const byId = (id) => document.getElementById(id);

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else made.setAttribute(key, value === true ? "" : String(value));
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

const SVG = "http://www.w3.org/2000/svg";

export function drawing(name, attributes = {}, text = null) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, String(value));
  if (text !== null) made.textContent = text;
  return made;
}

export function options(select, entries, chosen = null) {
  select.replaceChildren(
    ...entries.map(([value, label]) => {
      const one = element("option", { value }, label);
      one.selected = value === chosen;
      return one;
    }),
  );
}

export const count = (value) => Number(value).toLocaleString("en");

export const percent = (part, whole) => (whole ? `${((100 * part) / whole).toFixed(1)}%` : "");

export function decimal(value) {
  if (value === null || value === undefined) return "none";
  return Number.isInteger(value) ? count(value) : String(Number(value.toPrecision(4)));
}
