// Before anybody is named: say how to begin, and offer whose memories there are where the key may know.

import { get } from "../api.js";
import { button, h, put } from "../dom.js";
import { choose, describe } from "../scope.js";
import { empty } from "../states.js";

const SHOWN = 12;

export async function welcome(root, { me, signal }) {
  const words = h("div", {}, empty("Whose memories?", "Every memory belongs to a user, an agent, a run or an app. Name one above, and press Show."));
  put(root, words);
  if (!me.rights.includes("admin")) return;
  try {
    const { results, count } = await get("scopes", { signal, query: { limit: SHOWN } });
    if (results.length === 0) {
      put(words, empty("Nothing is remembered yet", "Add something over the API, with the proxy or from Python; then name whose it is above."));
      return;
    }
    root.append(
      h("p", { class: "muted" }, "Or look at one of those that are there:"),
      h("div", { class: "choices" }, results.map((ids) => button(describe(ids), () => choose(ids), { kind: "choice" }))),
      count > SHOWN && h("p", {}, h("a", { href: "#/scopes" }, `All ${count} scopes`)),
    );
  } catch (error) {
    if (error.name === "AbortError") return;
    if (error.status === undefined) throw error;
    root.append(h("p", { class: "muted" }, `Scopes cannot be listed: ${error.message}`));
  }
}
