// One memory: what it says, the words that it rests on, what rests on it, and everything that became of it.

import { at, get } from "../api.js";
import { change, deleteMemory, eraseMemory, undoChange } from "../actions.js";
import { button, h, put } from "../dom.js";
import { isolated, many, moment, percent, short, span, time, title as capital, words } from "../format.js";
import { flags, link } from "../memory-card.js";
import { describe, scope } from "../scope.js";
import { empty, load } from "../states.js";

export async function render(root, { id, signal, again, title }) {
  if (!id) {
    put(root, empty("Which memory?", h("a", { href: "#/search" }, "Search for one"), " and follow it here."));
    return;
  }
  await load(root, () => get(at`memories/${id}/explain`, { query: scope(), signal }), (found) => {
    const item = found.memory;
    title.textContent = item.kind === "turn" ? "Memory" : capital(item.kind);
    return [
      h("section", { class: "whole" },
        h("p", { class: "text", dir: "auto" }, item.memory),
        h("p", { class: "meta" },
          found.deleted && h("span", { class: "tag bad" }, "deleted"),
          found.status && h("span", { class: `tag ${found.status === "held" ? "good" : ""}` }, found.status),
          flags(item)),
        details(item, found),
        acts(item, found, again, root)),
      h("section", { class: "lineage" },
        h("h2", {}, "The words that it rests on"),
        found.sources.length > 0
          ? tree(found.sources, "sources", source)
          : h("p", { class: "muted" }, item.origin?.startsWith("derived:") ? "None are left." : "It is the words themselves, as they were said.")),
      group("What was worked out from it", found.derived),
      group("What was concluded from it", found.dependents),
      group("What it ended", found.ended),
      group("What it took the place of", found.supersedes),
      group("What took its place", found.superseded_by),
      group("Why it is stale", found.stale_because),
      h("section", {}, h("h2", {}, "What became of it"), history(found.changes, again)),
    ];
  });
}

function details(item, found) {
  const rows = [
    ["Whose", describe(item)],
    ["Said by", (item.speaker ?? item.role) && h("bdi", {}, item.speaker ?? item.role)],
    ["Said on", time(item.event_at)],
    ["True", span(item.valid_from, item.valid_to)],
    ["Kept since", time(item.created_at)],
    ["Origin", item.origin && words(item.origin)],
    ["Trust", percent(item.trust)],
    ["Version", item.version],
    ["Used", item.hits ? many(item.hits, "time") : "never"],
    ["Id", h("code", {}, item.id)],
    ["Metadata", Object.keys(item.metadata).length > 0 && h("details", {}, h("summary", {}, many(Object.keys(item.metadata).length, "value")), h("pre", {}, JSON.stringify(item.metadata, null, 2)))],
  ];
  return h("dl", { class: "details" }, rows.filter(([, value]) => value || value === 0).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}

function acts(item, found, again, root) {
  const away = ["archived", "merged", "expired"].includes(item.state);
  const last = [...found.changes].reverse().find((row) => row.event !== "REINDEX");
  return h("div", { class: "buttons acts" },
    !found.deleted && button("Delete…", () => deleteMemory(item, again), { kind: "plain" }),
    found.deleted && last && button("Undo the last change…", () => undoChange(last.change, again)),
    !found.deleted && !item.origin?.startsWith("derived:") && (away
      ? button("Bring back…", () => change(item, { path: "activate", title: "Bring this memory back?", what: "Searches will find it again.", yes: "Bring back", done: "Brought back" }, again), { kind: "plain" })
      : button("Archive…", () => change(item, { path: "archive", title: "Archive this memory?", what: "It is put away: no search finds it unless the archive is asked for.", yes: "Archive", done: "Archived" }, again), { kind: "plain" })),
    !found.deleted && !item.origin?.startsWith("derived:") && (item.trust === 0
      ? button("Release…", () => change(item, { path: "release", title: "Believe this memory again?", what: "It and what rests on it are found again.", yes: "Release", done: "Released" }, again), { kind: "plain" })
      : button("Quarantine…", () => change(item, { path: "quarantine", title: "Put this memory into quarantine?", what: "It is no longer believed, nor anything that rests on it alone, until it is released.", yes: "Quarantine", done: "In quarantine" }, again), { kind: "plain" })),
    button("Erase…", () => eraseMemory(item, (receipt) => put(root, gone(receipt))), { kind: "danger" }));
}

function gone(receipt) {
  return empty("Erased", "The receipt ", h("code", {}, receipt.id), " says what went. ",
    h("a", { href: "#/erasures" }, "See it and prove it"), ", or ", h("a", { href: "#/search" }, "search on"), ".");
}

function tree(rows, below, show) {
  return h("ul", { class: "tree" }, rows.map((row) => h("li", {}, show(row), row[below]?.length > 0 && tree(row[below], below, show))));
}

function source(row) {
  return h("div", { class: "source" },
    h("q", { dir: "auto" }, row.text), " ",
    h("span", { class: "muted" }, [row.said_by && isolated(row.said_by), moment(row.at), row.kind && words(row.kind)].filter(Boolean).join(", ")), " ",
    row.deleted && h("span", { class: "tag bad" }, "deleted"), " ",
    link(row.id, "the whole", { class: "small", "aria-label": `The whole of “${short(row.text, 60)}”` }));
}

function brief(row) {
  if (row.erased) return h("span", { class: "muted" }, "erased: ", h("code", {}, row.id));
  return h("div", {},
    h("span", { class: "tag" }, words(row.kind)), " ", link(row.id, short(row.memory, 160)), " ",
    h("span", { class: "muted" }, span(row.valid_from, row.valid_to)), " ",
    row.status && row.status !== "held" && h("span", { class: "tag" }, row.status),
    row.deleted && h("span", { class: "tag bad" }, "deleted"));
}

function group(title, rows) {
  return rows.length > 0 && h("section", { class: "lineage" }, h("h2", {}, title, h("span", { class: "muted" }, ` (${rows.length})`)), tree(rows, "resting", brief));
}

function history(rows, again) {
  return h("div", { class: "scroll" }, h("table", { class: "rows" },
    h("thead", {}, h("tr", {}, ["When", "What", "By", "Says", ""].map((name) => h("th", { scope: "col" }, name || h("span", { class: "unseen" }, "Undo"))))),
    h("tbody", {}, rows.map((row) => h("tr", {},
      h("td", { data: { label: "When" } }, time(row.updated_at)),
      h("td", { data: { label: "What" } }, words(row.event).toLowerCase()),
      h("td", { data: { label: "By" } }, row.actor || "–", row.why && h("span", { class: "muted" }, ` ${row.why}`)),
      h("td", { data: { label: "Says" } }, short(row.new_memory ?? row.old_memory ?? "(erased)", 120)),
      h("td", {}, row.event !== "REINDEX" && row.actor !== "worker" && button("Undo…", () => undoChange(row.change, again), { kind: "plain small", "aria-label": `Undo ${words(row.event).toLowerCase()} of ${moment(row.updated_at)}…` })))))));
}
