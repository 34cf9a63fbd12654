// The latest changes of a scope, each of which can be taken back.

import { get } from "../api.js";
import { deleteEverything, rowOf, text, undoChange } from "../actions.js";
import { button, h, put } from "../dom.js";
import { count, many, moment, short, time, words } from "../format.js";
import { link } from "../memory-card.js";
import { scope } from "../scope.js";
import { empty, load } from "../states.js";

const PAGE = 25;
const MOST = 1000;
const AT_ONCE = 4;

export async function render(root, { signal, again }) {
  const list = h("section", { "aria-label": "Changes" });
  const derived = h("input", { type: "checkbox" });
  put(root,
    h("div", { class: "toolbar fields" },
      h("label", { class: "check" }, derived, h("span", {}, "Also what was worked out in the background")),
      button("Delete every memory…", () => deleteEverything(again), { kind: "danger" })),
    list);
  let limit = PAGE;
  const draw = () => load(list, () => get("changes", { query: { ...scope(), limit, derived: derived.checked }, signal }), ({ results }) => {
    if (results.length === 0) return empty("Nothing has changed yet", "What is added, updated or deleted appears here, and can be taken back.");
    const waiting = [];
    const rows = results.map((change) => row(change, waiting, again));
    fillIn(waiting, signal);
    return [
      h("ol", { class: "rows plain-list" }, rows),
      results.length === limit && limit < MOST && h("div", { class: "buttons pager" }, button("Show more", () => {
        limit = Math.min(MOST, limit * 2);
        return draw();
      })),
    ];
  });
  derived.addEventListener("change", draw);
  await draw();
}

function row(change, waiting, again) {
  const first = change.events[0];
  const events = new Map();
  for (const { event } of change.events) events.set(event, (events.get(event) ?? 0) + 1);
  const said = h("span", { class: "muted" }, first ? link(first.id, first.id) : "");
  if (first) waiting.push([said, first.id, change.change]);
  return h("li", { class: "change" },
    h("div", {},
      h("p", { class: "meta" }, time(change.at), h("span", {}, change.actor || "anybody"),
        [...events].map(([event, times]) => h("span", { class: `tag ${event === "ERASE" || event === "DELETE" ? "bad" : ""}` }, words(event).toLowerCase(), times > 1 && ` × ${count(times)}`)), change.why && h("span", {}, change.why)),
      h("p", { class: "text" }, said, change.events.length > 1 && h("span", { class: "muted" }, ` and ${many(change.events.length - 1, "other")}`))),
    !events.has("ERASE") && button("Undo…", () => undoChange(change.change, again, change.events), { kind: "plain", "aria-label": `Undo… ${[...events.keys()].map((event) => words(event).toLowerCase()).join(", ")} of ${moment(change.at)}` }));
}

/** Fetch what the changes were about, a few at a time, after the list stands. */
async function fillIn(waiting, signal) {
  const next = async () => {
    for (let one = waiting.shift(); one && !signal.aborted; one = waiting.shift()) {
      const [place, id, change] = one;
      try {
        const found = await rowOf(id, change, signal);
        put(place, found ? link(id, short(text(found), 160)) : h("span", { class: "muted" }, "erased since"));
      } catch (error) {
        if (error.name === "AbortError") return;
        if (error.status === undefined) throw error;
        put(place, link(id, id));
      }
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, next));
}
