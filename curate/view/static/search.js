// Search by words, by what pictures show, and by a picture.

import { asked, change } from "./asked.js";
import { picture, post } from "./api.js";
import { byId } from "./dom.js";
import { failed } from "./results.js";

let shown = null; // address of the preview

export function begin(state) {
  byId("search").addEventListener("submit", submit);
  byId("search-clear").addEventListener("click", clear);
  byId("picture").addEventListener("change", choose);
  if (!state.embeddings) {
    byId("no-embeddings").hidden = false;
    byId("picture").disabled = true;
    document.querySelector('input[value="meaning"]').disabled = true;
  }
}

function submit(event) {
  event.preventDefault();
  const words = byId("words").value.trim();
  const meaning = document.querySelector('input[name="by"]:checked').value === "meaning";
  say(null);
  byId("picture").value = "";
  change(meaning && words ? { words: "", near: { words } } : { words, near: null });
}

function clear() {
  byId("search").reset();
  say(null);
  change({ words: "", near: null });
}

async function choose() {
  const [file] = byId("picture").files;
  if (!file) return;
  try {
    const said = await post("api/picture", file);
    say(`like ${file.name}`, URL.createObjectURL(file));
    change({ near: { picture: said.picture }, sort: "" });
    byId("sort").value = "";
  } catch (error) {
    failed(error);
  }
}

export function like(pair) {
  say(`like “${pair.text ?? ""}”`, picture("thumb", pair));
  byId("sort").value = "";
  change({ near: { image: [pair.partition, pair.row] }, words: "", sort: "" });
}

function say(words, address = null) {
  if (shown?.startsWith("blob:")) URL.revokeObjectURL(shown);
  shown = address;
  byId("near").hidden = words === null;
  byId("near-words").textContent = words ?? "";
  const picture = byId("near-picture");
  picture.hidden = address === null;
  if (address === null) picture.removeAttribute("src");
  else picture.src = address;
}
