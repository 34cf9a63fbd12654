// What was erased: receipts, and the proof that nothing is left.

import { at, get, post } from "../api.js";
import { eraseEverything } from "../actions.js";
import { note } from "../dialog.js";
import { button, h, put } from "../dom.js";
import { count, many, time, words } from "../format.js";
import { describe, scope } from "../scope.js";
import { empty, failure, load } from "../states.js";

const PAGE = 25;
const NAMES = {
  versions: ["version"],
  vectors: ["vector"],
  edges: ["link"],
  usage: ["counter of uses", "counters of uses"],
  journal: ["entry of the journal", "entries of the journal"],
  terms: ["word of the vocabulary", "words of the vocabulary"],
};

export async function render(root, { signal, again }) {
  const list = h("section", { "aria-label": "Receipts" });
  put(root,
    h("p", { class: "muted" }, "Delete keeps history; erase destroys. To erase one memory, open it. To erase all that the scope covers:"),
    h("div", { class: "buttons toolbar" }, button("Erase everything of this scope…", () => eraseEverything(() => again()), { kind: "danger" })),
    list);
  await load(list, () => get("receipts", { query: scope(), signal }), ({ results }) => {
    if (results.length === 0) return empty("Nothing was erased here", "Each erasure leaves a receipt without text: what went, when, by whom and why.");
    const newest = [...results].reverse();
    const rows = h("ol", { class: "plain-list" });
    let shown = 0;
    const more = button("Show more", () => grow(), { kind: "plain" });
    const grow = () => {
      rows.append(...newest.slice(shown, shown + PAGE).map((receipt) => show(receipt, signal)));
      shown += PAGE;
      more.hidden = shown >= newest.length;
    };
    grow();
    return [h("p", { class: "summary" }, many(results.length, "receipt")), rows, more];
  });
}

function show(receipt, signal) {
  const told = h("div", { "aria-live": "polite" });
  const verify = button("Prove it", async () => {
    verify.disabled = true;
    put(told, h("p", { class: "muted" }, "Searching…"));
    try {
      put(told, proof(await post(at`receipts/${receipt.id}/verify`, { body: scope(), signal })));
    } catch (error) {
      if (error.status === undefined) throw error;
      put(told, failure(error));
    } finally {
      verify.disabled = false;
    }
  });
  const parts = Object.entries(receipt.counts).filter(([, number]) => number > 0).map(([name, number]) => many(number, ...(NAMES[name] ?? [words(name), words(name)])));
  return h("li", { class: "card receipt", data: { receipt: receipt.id } }, h("div", { class: "body" },
    h("p", { class: "meta" }, time(receipt.at), h("span", {}, receipt.actor || "anybody"), h("span", {}, describe(receipt.scope))),
    h("p", {}, h("b", {}, receipt.reason || "No reason was given")),
    h("p", {}, "Went: ", parts.join(", ")),
    h("details", {}, h("summary", {}, `${many(receipt.ids.length, "memory", "memories")}, ${count(receipt.derived.length)} derived, ${count(receipt.kept.length)} kept by other sources`),
      ids("Erased", receipt.ids), ids("Derived from them", receipt.derived), ids("Kept, without them as sources", receipt.kept)),
    h("p", { class: "muted small" }, "Receipt ", h("code", {}, receipt.id)),
    h("div", { class: "buttons" }, verify, button("Save", () => save(receipt), { kind: "plain", "aria-label": `Save receipt ${receipt.id}` })),
    told));
}

function ids(label, list) {
  return list.length > 0 && h("div", { class: "ids" }, h("b", {}, label), " ", list.slice(0, 50).map((id) => [h("code", {}, id), " "]), list.length > 50 && `and ${count(list.length - 50)} more`);
}

function proof(report) {
  const files = Object.entries(report.files).map(([name, size]) => `${name} (${count(size)} bytes)`);
  return report.clean
    ? h("p", { class: "proof good" }, h("b", {}, "Nothing is left. "), files.length > 0 ? `Searched ${many(report.ids, "id")} in ${files.join(", ")}.` : `Searched ${many(report.ids, "id")} in the store.`)
    : h("div", { class: "proof bad" }, h("b", {}, `${many(report.findings.length, "trace")} left.`),
      h("ul", {}, report.findings.slice(0, 20).map((found) => h("li", {}, `${found.kind} ${found.what} in ${found.place}`))),
      report.residue_cleared === false && h("p", {}, "Other processes were reading the file; the next erasure or ", h("code", {}, "remanence verify-erasure"), " clears the rest."));
}

function save(receipt) {
  const address = URL.createObjectURL(new Blob([JSON.stringify(receipt, null, 2)], { type: "application/json" }));
  const anchor = document.createElement("a");
  anchor.href = address;
  anchor.download = `receipt-${receipt.id}.json`;
  anchor.click();
  URL.revokeObjectURL(address);
  note("The receipt was saved");
}
