// How clean a scope is, with examples that can be looked at.

import { get } from "../api.js";
import { field, h, put } from "../dom.js";
import { count, many, percent, title } from "../format.js";
import { link } from "../memory-card.js";
import { scope } from "../scope.js";
import { empty, load } from "../states.js";

const UNASKED = 10000;
const ABOUT = {
  junk: "nothing that anybody would want to know again",
  exact_duplicates: "said before in the same words",
  near_duplicates: "said before in nearly the same words",
  contradictions: "cannot be true together with a newer one",
  stale: "past its end, or confirmed by nobody for long",
  unsupported: "derived, without a source that says so",
  suspects: "instructions hidden in data",
};

const ID = /\b([0-9A-HJKMNP-TV-Z]{26})\b/;

export async function render(root, { signal }) {
  const days = h("input", { type: "number", min: "1", max: "36500", value: "365" });
  const results = h("section", { "aria-label": "Findings" });
  const draw = () => load(results, () => get("audit", { query: { ...scope(), stale_days: Number(days.value) || 365, examples: 10 }, signal }), show);
  put(root, h("form", { class: "toolbar fields", on: { submit: (event) => (event.preventDefault(), draw()) } },
    field("Stale after so many days", days), h("button", { type: "submit" }, "Examine")), results);
  // Every memory is compared with others: with many of them that takes longer than anybody waits unasked.
  let memories = 0;
  await load(results, () => get("stats", { query: scope(), signal }), (stats) => {
    ({ memories } = stats);
    return memories > UNASKED && empty(`${count(memories)} memories`, "Examining so many takes minutes, perhaps more than a request may. Press Examine to try, narrow the scope to a session, or let ", h("code", {}, "remanence audit"), " do it.");
  });
  if (memories <= UNASKED && !signal.aborted) await draw();
}

function show(report) {
  if (report.memories === 0) return empty("Nothing to examine", "This scope holds no memories that a search can find.");
  const found = Object.values(report.counts).reduce((sum, one) => sum + one, 0);
  return [
    h("p", { class: "summary" }, `${many(report.memories, "memory", "memories")} and ${count(report.derived)} derived ones examined: ${found === 0 ? "all clean." : many(found, "finding") + "."}`),
    h("div", { class: "findings" }, Object.keys(report.rates).map((name) => one(name, report))),
  ];
}

/** A reason, with the ids of memories in it as links. */
function linked(why) {
  return why.split(ID).map((part, place) => (place % 2 ? link(part, "another", { title: part }) : part));
}

function one(name, report) {
  const rate = report.rates[name];
  const examples = report.examples[name] ?? [];
  return h("section", { class: "card finding" }, h("div", { class: "body" },
    h("h2", {}, title(name), h("span", { class: rate ? "rate bad" : "rate good" }, ` ${percent(rate)}`)),
    h("p", { class: "muted" }, `${many(report.counts[name], "memory", "memories")}: ${ABOUT[name] ?? ""}`),
    h("span", { class: "meter", "aria-hidden": "true" }, h("span", { class: rate ? "bad" : "", style: { width: `${Math.min(100, (rate ?? 0) * 100)}%` } })),
    examples.length > 0 && h("ul", { class: "plain-list" }, examples.map((row) => h("li", {}, link(row.id, row.memory), h("span", { class: "muted" }, " ", linked(row.why)))))));
}
