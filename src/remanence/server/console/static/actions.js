// Forgetting, and taking it back. Every dialog names what will go before anything goes.

import { at, get, post, remove } from "./api.js";
import { confirm, note } from "./dialog.js";
import { h } from "./dom.js";
import { count, many, short, time, words } from "./format.js";
import { describe, scope } from "./scope.js";
import { attempt } from "./states.js";

const SHOWN = 6;

/** A memory as dialogs name it. */
export function named(text, extra = null) {
  return h("blockquote", { class: "named" }, h("bdi", {}, short(text, 240)), extra && h("footer", { class: "muted small" }, extra));
}

/** Let go of a memory. Answers the id of the change, or null. */
export async function deleteMemory(item, after) {
  const answer = await confirm({
    title: "Delete this memory?",
    what: [
      named(item.memory, [words(item.kind), " of ", describe(item), ", version ", item.version]),
      h("p", {}, "No search will find it, nor what rests on it alone. It stays in its history, and undo brings it back."),
    ],
    yes: "Delete",
  });
  if (!answer) return null;
  const done = await attempt(() => remove(at`memories/${item.id}`, { query: scope(), once: true }));
  if (!done) return null;
  note(`Deleted “${short(item.memory, 60)}”`, { action: ["Undo…", () => undoChange(done.change, after)] });
  after();
  return done.change;
}

/** Destroy a memory. Answers the receipt, or null. */
export async function eraseMemory(item, after) {
  const lineage = await attempt(() => get(at`memories/${item.id}/explain`, { query: scope() }));
  if (!lineage) return null;
  const resting = flat([...lineage.derived, ...lineage.dependents]);
  const answer = await confirm({
    title: "Erase this memory for good?",
    what: [
      named(item.memory, [describe(item), ", ", many(lineage.memory.version, "version")]),
      h("p", {}, "Every version goes, from the files too, and cannot be brought back. A receipt without text stays."),
      resting.length > 0 && [
        h("p", {}, `With it goes, or is worked out anew from other words, what rests on it (${count(resting.length)}):`),
        h("ul", { class: "small" }, resting.slice(0, SHOWN).map((row) => h("li", {}, words(row.kind), ": ", short(row.memory, 90)))),
        resting.length > SHOWN && h("p", { class: "muted small" }, `and ${count(resting.length - SHOWN)} more`),
      ],
    ],
    yes: "Erase for good",
    reason: true,
    type: "erase",
  });
  if (!answer) return null;
  const body = { ids: [item.id], reason: answer.reason, ...scope() };
  const receipt = await attempt(() => post("erase", { body, once: true }), erased);
  if (receipt) after(receipt);
  return receipt;
}

/** Destroy everything that the scope covers. */
export async function eraseEverything(after) {
  const ids = scope();
  const stats = await attempt(() => get("stats", { query: ids }));
  if (!stats) return null;
  const answer = await confirm({
    title: "Erase everything of this scope?",
    what: [
      named(describe(ids), [many(stats.memories, "memory", "memories"), ", ", many(stats.records, "record"), ", ", many(stats.versions, "version")]),
      h("p", {}, "All of it is destroyed, in every session and in the files, and cannot be brought back. A receipt stays."),
    ],
    yes: "Erase everything",
    reason: true,
    type: Object.values(ids)[0],
  });
  if (!answer) return null;
  const receipt = await attempt(
    () => post("erase", { body: { everything: true, reason: answer.reason, ...ids }, once: true }),
    erased,
  );
  if (receipt) after(receipt);
  return receipt;
}

function erased(receipt) {
  return `Erased ${many(receipt.counts.versions ?? receipt.ids.length, "version")}; the receipt is ${receipt.id}`;
}

/** Let go of everything that the scope covers; undo brings it back. */
export async function deleteEverything(after) {
  const ids = scope();
  const stats = await attempt(() => get("stats", { query: ids }));
  if (!stats) return;
  const answer = await confirm({
    title: "Delete every memory of this scope?",
    what: [
      named(describe(ids), many(stats.memories, "memory", "memories")),
      h("p", {}, "No search will find them. They stay in their history, and undo brings all of them back at once."),
    ],
    yes: "Delete all",
    type: Object.values(ids)[0],
  });
  if (!answer) return;
  const done = await attempt(() => remove("memories", { query: ids, once: true }));
  if (!done) return;
  const action = done.change ? ["Undo…", () => undoChange(done.change, after)] : null;
  note(`Deleted ${many(done.count, "memory", "memories")}`, { action });
  after();
}

/** Take a change back; the dialog names what it did. `events`: what it did, where that is known already. */
export async function undoChange(change, after, events = null) {
  const rows = await attempt(() => rowsOf(change, events));
  if (!rows) return;
  const answer = await confirm({
    title: "Take this change back?",
    what: [
      rows.found.map((row) => named(text(row), effect(row))),
      rows.more > 0 && h("p", { class: "muted small" }, `and ${count(rows.more)} more`),
      rows.found.length === 0 && h("p", {}, "Change ", h("code", {}, change)),
      h("p", {}, "This is a new change, which can itself be taken back."),
    ],
    yes: "Undo",
    danger: false,
  });
  if (!answer) return;
  const done = await attempt(() => post(at`changes/${change}/undo`, { body: scope(), once: true }));
  if (!done) return;
  note("Taken back", { action: done.change ? ["Undo that…", () => undoChange(done.change, after)] : null });
  after();
}

async function rowsOf(change, known) {
  const events = known ?? (await eventsOf(change));
  const ids = [...new Set(events.map((event) => event.id))];
  const found = await Promise.all(ids.slice(0, SHOWN).map((id) => rowOf(id, change)));
  return { found: found.filter(Boolean), more: Math.max(0, ids.length - SHOWN) };
}

/** What a change did. A change may hold thousands of events, so that few changes are asked for at first. */
async function eventsOf(change) {
  for (const limit of [20, 500]) {
    const { results } = await get("changes", { query: { ...scope(), limit } });
    const found = results.find((row) => row.change === change);
    if (found) return found.events;
    if (results.length < limit) break;
  }
  return [];
}

/** What a change did to one memory; null where it is gone. */
export async function rowOf(id, change, signal) {
  try {
    const { results } = await get(at`memories/${id}/history`, { query: scope(), signal });
    return results.find((row) => row.change === change) ?? null;
  } catch (error) {
    if (error.status === 404) return null;
    throw error;
  }
}

/** The words that a row of a history is about. */
export function text(row) {
  return row.new_memory ?? row.old_memory ?? "(its text was erased)";
}

function effect(row) {
  const now = {
    ADD: "was added; it will be deleted",
    UPDATE: `was changed; it will say again: “${short(row.old_memory ?? "", 90)}”`,
    DELETE: "was deleted; it will be found again",
    RESTORE: "was brought back; it will be as before that",
  };
  return [words(row.event).toLowerCase(), ": ", now[row.event] ?? "will be as before", ", ", time(row.updated_at)];
}

/** Do something to a memory that undo can take back, after asking. */
export async function change(item, { path, title, what, yes, done, danger = false, reason = true }, after) {
  const answer = await confirm({ title, what: [named(item.memory), h("p", {}, what)], yes, danger, reason });
  if (!answer) return;
  const body = { ids: [item.id], reason: answer.reason, ...scope() };
  if (await attempt(() => post(path, { body }), done)) after();
}

function flat(rows) {
  return rows.flatMap((row) => [row, ...flat(row.resting ?? [])]);
}
