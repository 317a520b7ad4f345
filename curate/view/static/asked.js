// What is asked for now. The parts of the page change it; whoever listens is told.

export const asked = {
  conditions: [],
  words: "",
  near: null, // {words} or {picture} or {image: [partition, row]}
  sort: "",
  descending: true,
  shifted: false,
  threshold: null, // {column, value, against}
  start: 0,
};

const listeners = [];

export const listen = (listener) => listeners.push(listener);

// kind: "members" (which pairs), "order", "page", or "marks" (what is shown stays where it is)
export function change(changes, kind = "members") {
  Object.assign(asked, changes);
  if (kind === "members" || kind === "order") asked.start = 0;
  for (const listener of listeners) listener(kind);
}

export function members() {
  return { conditions: asked.conditions, words: asked.words, near: asked.near };
}

export function query() {
  const shifted = asked.shifted ? asked.threshold : null;
  const sort = shifted && !asked.sort ? "order:distance" : asked.sort;
  const sorted = sort.startsWith("order:") ? false : asked.descending;
  return { ...members(), shifted, sort, descending: sorted };
}
