// Search with the reasons, and without a question the memories themselves, page by page.

import { at, get, post } from "../api.js";
import { announce } from "../dialog.js";
import { button, field, h, put, select } from "../dom.js";
import { asMoment, count, many, moment, percent, words } from "../format.js";
import { card, link } from "../memory-card.js";
import { scope } from "../scope.js";
import { empty, load } from "../states.js";

const WAIT = 250;
const PAGE = 25;
const BEYOND = 15;
const FAR = 200;
const KINDS = ["", "turn", "fact", "entity", "episode", "summary", "note", "instruction", "conclusion"];

export async function render(root, { params, signal, remember }) {
  const wide = !matchMedia("(max-width: 720px)").matches;
  const query = h("input", { type: "search", id: "query", value: params.get("q") ?? "", placeholder: "A question, or some words", autocomplete: "off", maxlength: "2000" });
  const asOf = h("input", { type: "datetime-local", value: params.get("as_of") ?? "" });
  const kind = select(KINDS.map((name) => [name, name ? words(name) : "any"]), params.get("kind") ?? "");
  const limit = select(["10", "25", "50"].map((value) => [value, value]), params.get("limit") ?? "10");
  const threshold = h("input", { type: "number", min: "0", max: "1", step: "0.05", value: params.get("threshold") ?? "", placeholder: "0" });
  const results = h("section", { "aria-label": "Results" });
  const form = h("form", { class: "toolbar", role: "search", on: { submit: (event) => (event.preventDefault(), now()) } },
    h("div", { class: "query" }, h("label", { class: "unseen", for: "query" }, "Search"), query, h("button", { type: "submit" }, "Search")),
    h("details", { class: "fold", open: wide || [...params.keys()].some((name) => name !== "q") }, h("summary", {}, "Time, kind and score"),
      h("div", { class: "fields" },
        field("As of (UTC)", asOf, { class: "moment" }), field("Kind", kind), field("Show", limit), field("Score at least", threshold))));
  put(root, form, results);

  let timer = 0;
  let running = new AbortController();
  signal.addEventListener("abort", () => (clearTimeout(timer), running.abort()));
  const asked = () => ({
    text: query.value.trim(), asOf: asMoment(asOf.value), kind: kind.value, limit: Number(limit.value), threshold: Number(threshold.value) || null,
  });
  const now = () => {
    clearTimeout(timer);
    running.abort();
    running = new AbortController();
    const wanted = asked();
    remember({ q: wanted.text, as_of: asOf.value, kind: kind.value, limit: limit.value === "10" ? "" : limit.value, threshold: threshold.value });
    return wanted.text ? search(results, wanted, running.signal) : browse(results, wanted, running.signal, null);
  };
  const soon = () => {
    clearTimeout(timer);
    timer = setTimeout(now, WAIT);
  };
  for (const control of [query, asOf, kind, limit, threshold]) control.addEventListener("input", soon);
  if (wide) query.focus({ preventScroll: true });
  await now();
}

function body(wanted) {
  return { ...scope(), as_of: wanted.asOf, kinds: wanted.kind || null };
}

async function search(root, wanted, signal) {
  const ask = (extra) => post("search", { signal, body: { query: wanted.text, explain: true, ...body(wanted), ...extra } });
  await load(root, () => ask({ limit: wanted.limit, threshold: wanted.threshold }), (found) => {
    const rows = found.results;
    announce(many(rows.length, "result"));
    const when = wanted.asOf ? ` as of ${moment(wanted.asOf)}` : "";
    return [
      h("p", { class: "summary" }, many(rows.length, "memory", "memories"), when, ". Something here answers with a probability of ", h("b", {}, percent(found.answerable)), "."),
      found.degraded?.length > 0 && h("p", { class: "warning" }, "Not everything worked: ", found.degraded.join("; ")),
      rows.map((item) => card(item)),
      rows.length === 0 && empty("Nothing was found", "Try other words, a lower score, any kind, or another time. ", "Below you can ask about one memory by its id."),
      leftOut(ask, wanted, rows),
      notFound(wanted, signal),
    ];
  });
}

/** What came next, and why it is not above. Asked for only when wanted: each result counts as a use of that memory. */
function leftOut(ask, wanted, shown) {
  const inside = h("div", {});
  const ids = new Set(shown.map((item) => item.id));
  return h("details", {
    class: "more",
    on: {
      toggle: (event) => {
        if (!event.target.open || inside.hasChildNodes()) return;
        load(inside, () => ask({ limit: wanted.limit + BEYOND }), (found) => {
          const rest = found.results.map((item, place) => [item, place]).filter(([item]) => !ids.has(item.id));
          return rest.length > 0
            ? rest.map(([item, place]) => card(item, { reason: because(item, place, wanted) }))
            : h("p", { class: "muted" }, "Nothing: all that could be found is above.");
        });
      },
    },
  }, h("summary", {}, "What was left out, and why"), inside);
}

function because(item, place, wanted) {
  if (wanted.threshold && item.score < wanted.threshold) return `its score, ${percent(item.score)}, is below ${percent(wanted.threshold)}.`;
  return `it stands at place ${place + 1}, and ${wanted.limit} are shown.`;
}

/** Why one memory is not among the results. */
function notFound(wanted, signal) {
  const id = h("input", { placeholder: "id of a memory", autocomplete: "off", spellcheck: "false", maxlength: "100", required: true });
  const told = h("div", { "aria-live": "polite" });
  const look = (event) => {
    event.preventDefault();
    load(told, () => reasons(id.value.trim(), wanted, signal), (found) => h("ul", { class: "reasons" }, found.map((reason) => h("li", {}, reason))));
  };
  return h("details", { class: "more" }, h("summary", {}, "Why is a certain memory not here?"),
    h("form", { class: "inline", on: { submit: look } }, field("Memory", id), h("button", { type: "submit" }, "Find out")), told);
}

async function reasons(id, wanted, signal) {
  let lineage;
  try {
    lineage = await get(at`memories/${id}/explain`, { query: scope(), signal });
  } catch (error) {
    if (error.status !== 404) throw error;
    return ["There is no such memory within this scope: it belongs to somebody else, was erased, or never was."];
  }
  const item = lineage.memory;
  const at_ = wanted.asOf ? new Date(wanted.asOf) : new Date();
  const found = [];
  if (lineage.deleted) found.push("It was deleted; undo brings it back.");
  if (["archived", "merged", "expired"].includes(item.state)) found.push(`It was put away (${item.state}).`);
  if (item.trust === 0) found.push("It is in quarantine: not believed until it is released.");
  if (lineage.stale_because.length > 0) found.push("What it was concluded from holds no longer.");
  if (wanted.asOf && new Date(item.valid_from) > at_) found.push(`It was not true yet: since ${moment(item.valid_from)}.`);
  if (item.valid_to && new Date(item.valid_to) <= at_) found.push(`It was true no longer: until ${moment(item.valid_to)}.`);
  if (wanted.kind && item.kind !== wanted.kind) found.push(`It is of the kind ${words(item.kind)}, and you ask for ${words(wanted.kind)}.`);
  const { results } = await post("search", { signal, body: { query: wanted.text, limit: FAR, ...body(wanted) } });
  const place = results.findIndex((one) => one.id === id);
  if (place >= 0) found.push(`It stands at place ${place + 1} with ${percent(results[place].score)}${place < wanted.limit ? "; it is among the results, or below the score asked for" : `; ${wanted.limit} are shown`}.`);
  else if (found.length === 0) found.push(`It is not among the first ${FAR}: it shares too little with the question.${wanted.kind ? "" : " What was worked out, such as facts, is found when its kind is asked for."}`);
  return [...found, link(id, "Where it comes from")];
}

async function browse(root, wanted, signal, cursor) {
  const ask = () => post("memories/list", { signal, body: { ...body(wanted), limit: PAGE, cursor, newest_first: true } });
  await load(root, ask, (page) => {
    if (page.results.length === 0 && !cursor) {
      return empty("Nothing is remembered here", wanted.kind || wanted.asOf ? "Choose another kind or time." : "Check whose memories you look at, or add something over the API.");
    }
    const go = (to) => button(to === page.next ? "Older" : "Newer", () => browse(root, wanted, signal, to).then(() => scrollTo(0, 0)), { disabled: to === null });
    announce(`${many(page.results.length, "memory", "memories")} of ${count(page.count ?? page.results.length)}`);
    return [
      h("p", { class: "summary" }, `${count(page.count ?? page.results.length)} in all, newest first. Ask something to search them.`),
      page.results.map((item) => card(item)),
      (cursor || page.next) && h("div", { class: "buttons pager" }, cursor && go(page.previous), go(page.next)),
    ];
  });
}
