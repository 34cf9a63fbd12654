// One memory in a list, and the bars that say why it was found.

import { add, button, h } from "./dom.js";
import { cut, percent, span, time, words } from "./format.js";
import { describe } from "./scope.js";

const CHANNELS = {
  lexical: "Words that it shares with the question",
  lexical_window: "Words of it and its neighbours",
  lexical_session: "Words of its whole session",
  lexical_stop: "Small words of the question",
  related: "Words near those of the question",
  bridge: "Words of the best hits: the second hop",
  dense: "Meaning",
  dense_window: "Meaning, with its neighbours",
  dense_prev: "Meaning of what was said before",
  dense_next: "Meaning of what was said after",
  speaker: "Who said it",
  speaker_dense: "Who said it, by meaning",
  asks: "It is a question itself",
  prev_asks: "It follows a question",
  when_dated: "Asked when, and it names a time",
  length: "How long it is",
  time: "Time that the question names",
  recency: "How new it is",
  fact: "Known facts that it states",
  outdated: "A later word replaced it",
  bias: "What every memory starts from",
  current: "Newest and known words first",
};
const SMALL = 0.005;
const MOST = 1000;

/** Where a memory is looked at. */
function address(id) {
  return `#/memory/${encodeURIComponent(id)}`;
}

/** The link to a memory; its words run in the direction of their own script. */
export function link(id, label, options = {}) {
  return h("a", { href: address(id), dir: "auto", ...options }, label);
}

/** Labels of what is special about a memory. */
export function flags(item) {
  return [
    item.superseded && h("span", { class: "tag warn" }, "replaced by a later word"),
    ["archived", "merged", "expired", "frozen"].includes(item.state) && h("span", { class: "tag" }, item.state),
    item.trust === 0 && h("span", { class: "tag bad" }, "in quarantine"),
    item.trust > 0 && item.trust < 1 && h("span", { class: "tag" }, `trust ${item.trust}`),
  ];
}

/** A memory; `item.score` and `item.channels` are shown where there are any. `reason`: why it is left out. */
export function card(item, { reason = null } = {}) {
  const scored = typeof item.score === "number";
  const box = h("article", { class: reason ? "card out" : "card", data: { id: item.id } });
  add(box, [
    scored &&
      h("div", { class: "score", title: "Probability that it answers" },
        h("span", { class: "unseen" }, "Probability "), h("b", {}, percent(item.score)),
        h("span", { class: "meter" }, h("span", { style: { width: `${(item.score * 100).toFixed(1)}%` } }))),
    h("div", { class: "body" },
      h("p", { class: "text", dir: "auto" }, h("a", { href: address(item.id) }, cut(item.memory, MOST))),
      h("p", { class: "meta" },
        [item.speaker && h("bdi", {}, item.speaker), time(item.event_at), h("span", {}, words(item.kind)),
          h("span", {}, describe(item)), item.valid_to && h("span", {}, span(item.valid_from, item.valid_to))],
        flags(item)),
      item.facts?.length > 0 && h("ul", { class: "facts", "aria-label": "Facts that it states" },
        item.facts.map((fact) => h("li", { class: `fact ${fact.status}` },
          link(fact.id, fact.memory), h("span", { class: "muted" }, ` ${span(fact.since, fact.until)}`)))),
      reason && h("p", { class: "reason" }, h("b", {}, "Left out: "), reason),
      item.channels && why(item)),
  ]);
  return box;
}

function why(item) {
  const id = `why-${item.id}`;
  const table = h("div", { id, hidden: true });
  const open = button("Why?", () => {
    if (table.hidden && !table.hasChildNodes()) add(table, [channels(item)]);
    table.hidden = !table.hidden;
    open.setAttribute("aria-expanded", String(!table.hidden));
  }, { kind: "plain small why", "aria-expanded": "false", "aria-controls": id });
  return [open, table];
}

/** Every channel's share of the score, the largest first; those that add nothing are named in one line. */
export function channels(item) {
  const rows = Object.entries(item.channels).sort((a, b) => Math.abs(b[1]) - Math.abs(a[1]));
  const shown = rows.filter(([, share]) => Math.abs(share) >= SMALL);
  const none = rows.filter(([, share]) => Math.abs(share) < SMALL).map(([name]) => name);
  const most = Math.max(...shown.map(([, share]) => Math.abs(share)), 1e-9);
  const sum = rows.reduce((total, [, share]) => total + share, 0);
  return [
    h("table", { class: "channels" },
      h("caption", {}, `Shares of the score: together ${signed(sum)}, which is a probability of ${percent(1 / (1 + Math.exp(-sum)))}`),
      h("tbody", {}, shown.map(([name, share]) => bar(name, share, most)))),
    none.length > 0 && h("p", { class: "muted small" }, "Nothing from: ", none.map(words).join(", ")),
  ];
}

function bar(name, share, most) {
  const width = (Math.abs(share) / most) * 50;
  return h("tr", {},
    h("th", { scope: "row" }, CHANNELS[name] ?? words(name), h("code", {}, name)),
    h("td", { class: "bar" }, h("span", { class: "rail" },
      h("span", {
        class: share < 0 ? "minus" : "plus",
        style: { left: `${share < 0 ? 50 - width : 50}%`, width: `${width}%` },
      }))),
    h("td", { class: "number" }, signed(share)));
}

function signed(value) {
  return `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(2)}`;
}
