// Mechanisms, benchmarks and publications: what each claims, and what was measured.

import { at, get } from "../api.js";
import { field, h, put, select } from "../dom.js";
import { many, words } from "../format.js";
import { load } from "../states.js";

const SHOWN = 50;
const METRICS = ["recall@5", "recall@10", "ndcg@10", "mrr"];

export async function render(root, { params, signal, remember }) {
  await load(root, () => get("console/catalog", { signal }), (found) => page(found, params, signal, remember));
}

function page({ count: counts, results, measured }, params, signal, remember) {
  const text = h("input", { type: "search", value: params.get("q") ?? "", placeholder: "name, paper or claim", autocomplete: "off" });
  const status = select([["working", "working"], ["planned", "planned"], ["", "all"]], params.get("status") ?? "working");
  const kinds = [...new Set(results.flatMap((row) => row.kinds))];
  const kind = select([["", "any"], ...kinds.map((name) => [name, name === "system" ? "mechanism" : name])], params.get("kind") ?? "");
  const substrates = [...new Set(results.flatMap((row) => row.substrates))];
  const substrate = select([["", "any"], ...substrates.map((name) => [name, name])], params.get("substrate") ?? "");
  const told = h("p", { class: "summary", role: "status" });
  const rows = h("div", { class: "entries" });
  const more = h("button", { type: "button", class: "plain" }, "Show more");
  // An entry that was opened stays open, whatever is looked for meanwhile.
  const kept = new Map();
  const made = (row) => {
    if (!kept.has(row)) kept.set(row, entry(row, signal));
    return kept.get(row);
  };
  let shown = SHOWN;
  const draw = () => {
    const wanted = text.value.trim().toLowerCase();
    const found = results.filter((row) =>
      (!status.value || row.status === status.value || (status.value === "planned" && row.status === "partly")) &&
      (!kind.value || row.kinds.includes(kind.value)) &&
      (!substrate.value || row.substrates.includes(substrate.value)) &&
      (!wanted || `${row.slug} ${row.title} ${row.paper} ${row.text}`.toLowerCase().includes(wanted)));
    told.textContent = `${many(found.length, "entry", "entries")} of ${results.length}`;
    put(rows, found.slice(0, shown).map(made), found.length === 0 && h("p", { class: "muted" }, "Nothing is so. Choose “all”, or other words."));
    more.hidden = found.length <= shown;
    remember({ q: text.value.trim(), status: status.value === "working" ? "" : status.value || "all", kind: kind.value, substrate: substrate.value });
  };
  if (params.get("status") === "all") status.value = "";
  let timer = 0;
  const soon = () => {
    clearTimeout(timer);
    shown = SHOWN;
    timer = setTimeout(draw, 120);
  };
  for (const control of [text, status, kind, substrate]) control.addEventListener("input", soon);
  more.addEventListener("click", () => {
    shown += SHOWN;
    draw();
  });
  draw();
  return [
    h("p", {}, `${many(counts.mechanisms, "mechanism")} and ${counts.other} benchmarks and studies work; of ${many(counts.publications, "publication")}, ${counts.planned} are planned.`),
    !measured && h("p", { class: "muted" }, "The committed results did not come along with this installation, so only claims are shown. ", h("code", {}, "remanence witness NAME"), " measures one here."),
    h("div", { class: "toolbar fields" }, field("Find", text), field("Status", status), field("Kind", kind), field("Made of", substrate)),
    told, rows, more,
  ];
}

function entry(row, signal) {
  const inside = h("div", { class: "inside" });
  const box = h("details", {
    class: "card entry",
    data: { slug: row.slug },
    on: {
      toggle: () => {
        if (box.open && !inside.hasChildNodes()) load(inside, () => get(at`console/catalog/${row.slug}`, { signal }), whole);
      },
    },
  },
    h("summary", {},
      h("b", {}, row.title), " ",
      row.status !== "working" && h("span", { class: "tag" }, row.status), " ",
      row.kinds.map((name) => h("span", { class: "tag" }, name === "system" ? "mechanism" : name)), " ",
      row.substrates.map((name) => h("span", { class: "tag" }, name)),
      h("span", { class: "muted" }, ` ${[row.paper !== row.title && row.paper, row.year].filter(Boolean).join(" ")}`),
      row.text && h("span", { class: "claim" }, row.text),
      row.evidence && witnessed(row.evidence)),
    inside);
  return box;
}

function witnessed(evidence) {
  return h("span", { class: `evidence ${evidence.holds ? "good" : "bad"}` },
    `${evidence.metric}: ${number(evidence.value)} beside ${number(evidence.baseline)}, ${evidence.holds ? "holds" : "does not hold"} on ${many(evidence.seeds, "seed")}`);
}

function whole(found) {
  const paper = found.publication;
  const rows = [
    ["Idea", found.idea || found.about],
    ["Formula", found.equation && h("code", { class: "formula" }, found.equation)],
    ["Publication", paper && `${paper.title} (${paper.year})`],
    ["Public code", (found.source || paper?.source) && h("a", { href: `https://github.com/${found.source || paper.source}`, rel: "noreferrer noopener", target: "_blank" }, found.source || paper.source)],
    ["Can", found.can?.join(", ")],
    ["Needs", found.needs?.join(", ")],
    ["Differs from the publication", found.deviations?.length > 0 && h("ul", {}, found.deviations.map((one) => h("li", {}, one)))],
    ["Rules it breaks, and why", Object.keys(found.waivers ?? {}).length > 0 && h("ul", {}, Object.entries(found.waivers).map(([rule, why]) => h("li", {}, h("code", {}, rule), " ", why)))],
    ["Realised by", paper && found.status !== "working" && paper.realised_by.join(", ")],
    ["Module", found.module && h("code", {}, found.module)],
  ];
  return [
    h("dl", { class: "details wide" }, rows.filter(([, value]) => value).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)))),
    found.evidence.length > 0 && [
      h("h3", {}, "Its witness"),
      table(["Seed", found.evidence[0].metric, "Baseline", "Claim"], found.evidence.map((one) => [one.seed, number(one.value), number(one.baseline), one.holds ? "holds" : "does not hold"])),
      found.evidence_from && h("p", { class: "muted small" }, `Version ${found.evidence_from.version}, ${found.evidence_from.hardware.cpu}, ${found.evidence_from.hardware.cores} cores`),
    ],
    found.status === "working" && found.witness && found.evidence.length === 0 && h("p", { class: "muted" }, "It has a witness; no committed result of it is here. ", h("code", {}, `remanence witness ${found.slug}`), " measures it."),
    found.results.length > 0 && [
      h("h3", {}, "Benchmarks"),
      table(["Data set", "System", ...METRICS], found.results.map((one) => [
        [one.title, one.learnt_on && h("abbr", { title: "Its weights were learnt on these very questions; that flatters it." }, " *")],
        words(one.system), ...METRICS.map((name) => (name in one.metrics ? number(one.metrics[name]) : "–"))])),
      found.results.some((one) => one.learnt_on) && h("p", { class: "muted small" }, "* Weights were learnt on these very questions, which flatters the figures; cross-validated ones stand in the documents."),
    ],
  ];
}

function table(heads, rows) {
  return h("div", { class: "scroll" }, h("table", { class: "figures" },
    h("thead", {}, h("tr", {}, heads.map((head) => h("th", { scope: "col" }, head)))),
    h("tbody", {}, rows.map((cells) => h("tr", {}, cells.map((cell) => h("td", {}, cell)))))));
}

function number(value) {
  if (Number.isInteger(value)) return String(value);
  return Math.abs(value) >= 100 ? value.toFixed(0) : value.toFixed(3);
}
