// One pair alone: its picture, every column, and the other texts of its image.

import { get, picture } from "./api.js";
import { byId, element } from "./dom.js";
import { about, failed, tags } from "./results.js";

export function begin() {
  byId("details-close").addEventListener("click", () => byId("details").close());
}

export async function open(pair) {
  const found = await get(`api/pair/${pair.place}`).catch(failed);
  if (!found) return;
  const first = found.texts.find((one) => one.place === pair.place) ?? pair;
  const texts = found.texts.map((one) =>
    element(
      "li",
      one.place === pair.place ? { "aria-current": "true" } : {},
      element("p", { dir: "auto" }, element("bdi", {}, one.text ?? "(no text)")),
      element("p", { class: "about" }, ...tags(one), about(one)),
    ),
  );
  const rows = Object.entries(found.columns).map(([name, value]) =>
    element("tr", {}, element("th", { scope: "row" }, name), element("td", { dir: "auto" }, value === null ? "–" : String(value))),
  );
  byId("details-body").replaceChildren(
    element("img", { src: picture("picture", first), alt: `The picture of: ${(pair.text ?? "").slice(0, 200)}` }),
    element("h3", {}, "Texts of this image"),
    element("ul", { class: "texts" }, ...texts),
    element("h3", {}, "Everything about this pair"),
    element("div", { class: "scroll", role: "group", "aria-label": "Columns", tabindex: "0" }, element("table", {}, element("tbody", {}, ...rows))),
  );
  byId("details").showModal();
}
