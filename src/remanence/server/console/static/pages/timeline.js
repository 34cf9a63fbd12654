// What was true when: facts as intervals, and a slider for the moment to look at.

import { get } from "../api.js";
import { announce } from "../dialog.js";
import { button, field, h, put, select } from "../dom.js";
import { many, span, words } from "../format.js";
import { link } from "../memory-card.js";
import { scope } from "../scope.js";
import { empty, load } from "../states.js";

const LANES = 40;
const STEPS = 1000;
const MARGIN = 0.03;
const DAY = 86400000;

export async function render(root, { params, signal, remember }) {
  const subject = h("input", { value: params.get("subject") ?? "", placeholder: "everybody", autocomplete: "off", maxlength: "200", list: "subjects" });
  const names = h("datalist", { id: "subjects" });
  const attribute = select([["", "anything"]], "");
  const results = h("section", { "aria-label": "What was true when" });
  const form = h("form", { class: "toolbar fields", on: { submit: (event) => (event.preventDefault(), draw()) } },
    field("Of whom or what", subject), field("What", attribute), h("button", { type: "submit" }, "Show"));
  put(root, form, names, results);
  let wanted = params.get("attribute") ?? "";
  attribute.addEventListener("change", () => {
    wanted = attribute.value;
    draw();
  });
  const draw = () => {
    remember({ subject: subject.value.trim(), attribute: wanted });
    const query = { ...scope(), subject: subject.value.trim(), attribute: wanted, limit: 1000 };
    return load(results, () => get("timeline", { query, signal }), (found) => {
      const rows = found.results;
      put(names, [...new Set(rows.map((row) => row.subject))].map((value) => h("option", { value })));
      const known = [...new Set([...rows.map((row) => row.attribute), wanted].filter(Boolean))].sort();
      put(attribute, h("option", { value: "" }, "anything"), known.map((value) => h("option", { value, selected: value === wanted }, words(value))));
      if (rows.length === 0) {
        return empty("No facts are known", subject.value || wanted ? "Leave the fields above empty to see all." : "Facts are worked out from what was said. See the jobs, or add something such as “I live in Oslo”.");
      }
      return [found.more && h("p", { class: "warning" }, "These are the first 1,000 facts; name somebody, or one kind of fact, to see the others."), chart(rows)];
    });
  };
  await draw();
}

function chart(rows) {
  const now = Date.now();
  const known = rows.flatMap((row) => [row.since, row.until, row.sources[0]?.at]).filter(Boolean).map((iso) => Date.parse(iso));
  let first = Math.min(...known, now);
  let last = Math.max(...known, now);
  const pad = Math.max((last - first) * MARGIN, DAY);
  first -= pad;
  last += pad;
  const place = (moment_) => ((moment_ - first) / (last - first)) * 100;
  const lanes = grouped(rows);
  const line = h("span", { class: "cursor", "aria-hidden": "true" });
  const slider = h("input", { type: "range", id: "as-of", min: "0", max: String(STEPS), value: String(Math.round((place(now) / 100) * STEPS)) });
  const label = h("output", { for: "as-of" });
  const truth = h("div", { class: "truth" });
  const bars = [];
  const list = h("ol", { class: "lanes" });
  let shown = 0;
  const more = button("Show more", () => grow(), { kind: "plain" });
  const grow = () => {
    for (const lane of lanes.slice(shown, shown + LANES)) list.append(row(lane, place, bars));
    shown += LANES;
    more.hidden = shown >= lanes.length;
    move();
  };
  const move = () => {
    const at = first + (Number(slider.value) / STEPS) * (last - first);
    const iso = new Date(at).toISOString();
    line.style.setProperty("left", `${(Number(slider.value) / STEPS) * 100}%`);
    label.textContent = iso.slice(0, 10);
    slider.setAttribute("aria-valuetext", iso.slice(0, 10));
    for (const [bar, fact] of bars) bar.classList.toggle("now", holds(fact, at));
    const then = rows.filter((fact) => holds(fact, at));
    put(truth,
      h("h2", {}, `True on ${iso.slice(0, 10)}`),
      then.length === 0
        ? h("p", { class: "muted" }, "Nothing that is known. Move the slider.")
        : h("ul", {}, then.slice(0, 100).map((fact) => h("li", {}, link(fact.id, fact.memory), h("span", { class: "muted" }, ` ${span(fact.since, fact.until)}`)))),
      then.length > 100 && h("p", { class: "muted" }, `and ${then.length - 100} more`),
      h("p", {}, h("a", { href: `#/search?as_of=${iso.slice(0, 16)}` }, "Search as of this day")));
    return then.length;
  };
  slider.addEventListener("input", move);
  slider.addEventListener("change", () => announce(`${many(move(), "fact")} held then`));
  const figure = h("div", { class: "timeline" },
    h("div", { class: "slider" }, h("label", { for: "as-of" }, "As of"), h("div", { class: "track" }, slider), label),
    h("div", { class: "plot" }, h("div", { class: "axis", "aria-hidden": "true" }, h("div", { class: "track" }, ticks(first, last, place), line)), list),
    more,
    h("p", { class: "legend muted small" },
      h("span", { class: "swatch held" }), "holds ", h("span", { class: "swatch superseded" }), "replaced ", h("span", { class: "swatch ended" }), "ended"));
  grow();
  return [figure, truth];
}

function holds(fact, at) {
  return (!fact.since || Date.parse(fact.since) <= at) && (!fact.until || Date.parse(fact.until) > at);
}

/** One lane for each matter: whose, and what. */
function grouped(rows) {
  const lanes = new Map();
  for (const row of rows) {
    const key = JSON.stringify([row.subject, row.attribute]);
    if (!lanes.has(key)) lanes.set(key, { subject: row.subject, attribute: row.attribute, facts: [] });
    lanes.get(key).facts.push(row);
  }
  return [...lanes.values()].sort((a, b) => (a.subject < b.subject ? -1 : a.subject > b.subject ? 1 : 0));
}

function row(lane, place, bars) {
  const tracks = [];
  const made = lane.facts.map((fact) => {
    const from = fact.since ? Math.max(0, place(Date.parse(fact.since))) : 0;
    const to = fact.until ? Math.min(100, place(Date.parse(fact.until))) : 100;
    let track = tracks.findIndex((end) => end <= from);
    if (track < 0) track = tracks.push(0) - 1;
    tracks[track] = Math.max(to, from + 0.5);
    const said = `${fact.polarity ? "" : "not "}${fact.value}`;
    const bar = link(fact.id, h("span", {}, said), {
      class: `bar ${fact.status}${fact.since ? "" : " open-left"}${fact.until ? "" : " open-right"}`,
      title: `${fact.memory}: ${span(fact.since, fact.until)}, ${fact.status}`,
      "aria-label": `${fact.memory}, ${span(fact.since, fact.until)}, ${fact.status}`,
      style: { left: `${from}%`, width: `${Math.max(to - from, 0.6)}%`, top: `${track * 30 + 3}px` },
    });
    bars.push([bar, fact]);
    return bar;
  });
  return h("li", { class: "lane" },
    h("div", { class: "name" }, h("b", { dir: "auto" }, lane.subject), " ", h("span", { class: "muted" }, words(lane.attribute))),
    h("div", { class: "track", style: { height: `${tracks.length * 30 + 4}px` } }, made));
}

function ticks(first, last, place) {
  const years = (last - first) / (365.25 * DAY);
  const months = years > 16 ? 60 : years > 6 ? 24 : years > 3 ? 12 : years > 1.2 ? 6 : years > 0.5 ? 2 : 1;
  const found = [];
  const day = new Date(first);
  for (let month = Math.ceil((day.getUTCFullYear() * 12 + day.getUTCMonth() + 1) / months) * months; ; month += months) {
    const at = Date.UTC(Math.floor(month / 12), month % 12, 1);
    if (at > last) return found;
    const name = new Date(at).toISOString().slice(0, months >= 12 ? 4 : 7);
    found.push(h("span", { class: "tick", style: { left: `${place(at)}%` } }, name));
  }
}
