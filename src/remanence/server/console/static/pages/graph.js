// Who and what is known: entities and values as nodes, facts that hold as edges. It grows where one asks for more.

import { get } from "../api.js";
import { announce } from "../dialog.js";
import { button, field, h, put, s } from "../dom.js";
import { layout } from "../force.js";
import { asMoment, count, many, short, span } from "../format.js";
import { link } from "../memory-card.js";
import { scope } from "../scope.js";
import { attempt, empty, load } from "../states.js";

const FIRST = 40;
const MORE = 25;
const MOST = 160;
const LABEL = 22;
const CROWDED = 12;
const HUBS = 12;

export async function render(root, { params, signal, remember }) {
  const around = h("input", { type: "search", value: params.get("around") ?? "", placeholder: "a name, or all", autocomplete: "off", maxlength: "200" });
  const asOf = h("input", { type: "datetime-local", value: params.get("as_of") ?? "" });
  const results = h("section", { "aria-label": "Graph" });
  const ask = (extra) => get("console/graph", { query: { ...scope(), as_of: asMoment(asOf.value), ...extra }, signal });
  const draw = async (event) => {
    event?.preventDefault();
    const name = around.value.trim();
    remember({ around: name, as_of: asOf.value });
    let graph = null;
    await load(results, () => ask({ around: name, limit: FIRST }), (found) => {
      if (found.nodes.length === 0) {
        return name
          ? empty(`Nothing is known of “${short(name, 40)}”`, "Try another name or time, or leave the field empty.")
          : empty("Nobody and nothing is known", "Entities and facts are worked out from what was said. See the jobs, or add something such as “My sister Marta lives in Bergen”.");
      }
      graph = new Graph(found, ask);
      return graph.element;
    });
    graph?.fit();
  };
  put(root, h("form", { class: "toolbar fields", on: { submit: draw } }, field("Around", around), field("As of (UTC)", asOf, { class: "moment" }), h("button", { type: "submit" }, "Show")), results);
  await draw();
}

class Graph {
  constructor(found, ask) {
    this.ask = ask;
    this.nodes = new Map();
    this.edges = new Map();
    this.places = new Map();
    this.chosen = null;
    this.summary = h("p", { class: "summary", role: "status" });
    this.scene = s("g", {});
    this.picture = s("svg", { class: "graph", role: "group", "aria-label": "Entities and facts; the same stands in the lists beside" }, this.scene);
    this.side = h("section", { class: "side", "aria-label": "What was chosen" });
    this.element = h("div", {}, this.summary, h("div", { class: "graph-page" },
      h("div", { class: "canvas" }, this.picture, h("div", { class: "zoom" },
        button("+", () => this.zoom(0.8), { kind: "plain", "aria-label": "Larger" }),
        button("−", () => this.zoom(1.25), { kind: "plain", "aria-label": "Smaller" }),
        button("Fit", () => this.fit(), { kind: "plain" }))),
      this.side));
    this.pan();
    this.take(found);
    this.choose(found.centre ?? found.nodes[0].key);
  }

  /** Add what the server answered, and draw again. */
  take(found) {
    const before = this.nodes.size;
    for (const node of found.nodes) if (this.nodes.has(node.key) || this.nodes.size < MOST) this.nodes.set(node.key, node);
    for (const edge of found.edges) if (this.nodes.has(edge.source) && this.nodes.has(edge.target)) this.edges.set(edge.id, edge);
    const nodes = [...this.nodes.values()];
    const edges = [...this.edges.values()];
    this.places = layout(nodes, edges, { fixed: this.places });
    const total = found.count;
    this.summary.textContent = `${count(nodes.length)} of ${count(total.nodes)} people, things and values, ${count(edges.length)} of ${many(total.facts, "fact")}.${this.nodes.size >= MOST ? " The picture is full; go on around another name." : ""}`;
    this.draw(nodes, edges);
    this.fit();
    return this.nodes.size - before;
  }

  draw(nodes, edges) {
    const at = (key) => this.places.get(key);
    const pairs = new Map();
    for (const edge of edges) {
      const pair = [edge.source, edge.target].sort().join("\n");
      pairs.set(pair, [...(pairs.get(pair) ?? []), edge]);
    }
    this.lines = [...pairs.values()].map((group) => {
      const [[x1, y1], [x2, y2]] = [at(group[0].source), at(group[0].target)];
      const labels = [...new Set(group.map((edge) => edge.label))];
      const label = labels.length > 2 ? `${labels[0]} and ${labels.length - 1} more` : labels.join(", ");
      const line = s("g", { class: "edge" },
        s("line", { x1, y1, x2, y2 }),
        s("text", { x: (x1 + x2) / 2, y: (y1 + y2) / 2, dy: "-0.3em" }, short(label, LABEL)),
        s("title", {}, group.map((edge) => edge.memory).join("; ")));
      return [line, group];
    });
    const hubs = new Set([...nodes].sort((a, b) => b.facts - a.facts).slice(0, HUBS).map((node) => node.key));
    this.dots = new Map(nodes.map((node) => {
      const [x, y] = at(node.key);
      const size = node.kind === "entity" ? 9 + Math.min(14, Math.sqrt(node.facts) * 3) : 6;
      const open = (event) => {
        if (event.type === "keydown" && event.key !== "Enter" && event.key !== " ") return;
        event.preventDefault();
        this.choose(node.key);
        announce(`${short(node.name)}: ${many(node.facts, "fact")}, listed beside the picture`);
      };
      const dot = s("g", {
        class: `node ${node.kind}${hubs.has(node.key) ? " hub" : ""}`, tabindex: "0", role: "button", transform: `translate(${x} ${y})`, data: { key: node.key },
        "aria-label": `${node.name}, ${many(node.facts, "fact")}${node.hidden > 0 ? `, ${node.hidden} not shown` : ""}`,
        on: { click: open, keydown: open, dblclick: () => this.grow(node.key) },
      },
        s("circle", { r: size }),
        node.hidden > 0 && s("text", { class: "badge", y: 4, "aria-hidden": "true" }, `+${node.hidden}`),
        s("text", { class: "name", dy: "1.1em", y: size, "aria-hidden": "true", data: { size } }, short(node.name, LABEL)));
      return [node.key, dot];
    }));
    put(this.scene, this.lines.map(([line]) => line), [...this.dots.values()]);
    if (this.chosen) this.mark();
  }

  choose(key) {
    this.chosen = key;
    this.mark();
    const node = this.nodes.get(key);
    const facts = [...this.edges.values()].filter((edge) => edge.source === key || edge.target === key);
    const others = [...this.nodes.values()].filter((one) => one.key !== key && one.kind === "entity").sort((a, b) => b.facts - a.facts);
    put(this.side,
      h("h2", {}, node.memory_id ? link(node.memory_id, node.name) : node.name),
      h("p", { class: "muted" }, `${node.kind === "entity" ? "Somebody or something" : "A value"}, ${many(node.facts, "fact")}${node.mentions ? `, ${many(node.mentions, "mention")}` : ""}`),
      h("ul", { class: "plain-list" }, facts.map((edge) => h("li", {}, link(edge.id, edge.memory), " ", h("span", { class: "muted small" }, span(edge.since, edge.until))))),
      node.hidden > 0 && button(`Show ${many(node.hidden, "more fact")}`, () => this.grow(key), { class: "expand" }),
      h("details", { class: "others" }, h("summary", {}, `All ${many(others.length + 1, "name")} of the picture`),
        h("ul", { class: "plain-list" }, others.map((one) => h("li", {}, button(one.name, () => this.choose(one.key), { kind: "plain small" }), h("span", { class: "muted small" }, ` ${many(one.facts, "fact")}`))))));
  }

  mark() {
    const near = new Set([this.chosen]);
    const lit = this.lines.filter(([, group]) => group.some((edge) => edge.source === this.chosen || edge.target === this.chosen));
    this.picture.classList.toggle("crowded", lit.length > CROWDED);
    for (const [line, group] of this.lines) {
      const touches = group.some((edge) => edge.source === this.chosen || edge.target === this.chosen);
      line.classList.toggle("lit", touches);
      if (touches) near.add(group[0].source).add(group[0].target);
    }
    for (const [key, dot] of this.dots) {
      dot.classList.toggle("chosen", key === this.chosen);
      // The chosen one has its name above it, where those around it do not write over it.
      const name = dot.querySelector(".name");
      name.setAttribute("y", key === this.chosen ? -Number(name.dataset.size) : name.dataset.size);
      name.setAttribute("dy", key === this.chosen ? "-0.35em" : "1.1em");
      dot.classList.toggle("far", !near.has(key));
    }
  }

  /** Ask for the neighbours of a node. */
  async grow(key) {
    const focused = document.activeElement?.closest?.(".node")?.dataset.key;
    const found = await attempt(() => this.ask({ around: key, limit: MORE + this.degree(key) }));
    if (!found) return;
    const added = this.take(found);
    this.refresh(key);
    this.choose(key);
    announce(`${many(added, "node")} more`);
    if (focused) this.dots.get(focused)?.focus();
  }

  degree(key) {
    return new Set([...this.edges.values()].filter((edge) => edge.source === key || edge.target === key).flatMap((edge) => [edge.source, edge.target])).size;
  }

  /** What a node still hides, by what is drawn now. */
  refresh() {
    const drawn = new Map();
    for (const edge of this.edges.values()) {
      for (const key of new Set([edge.source, edge.target])) drawn.set(key, (drawn.get(key) ?? 0) + 1);
    }
    for (const node of this.nodes.values()) node.hidden = Math.max(0, node.facts - (drawn.get(node.key) ?? 0));
    this.draw([...this.nodes.values()], [...this.edges.values()]);
  }

  fit() {
    const points = [...this.places.values()];
    const xs = points.map(([x]) => x);
    const ys = points.map(([, y]) => y);
    const [left, right, top, bottom] = [Math.min(...xs) - 80, Math.max(...xs) + 80, Math.min(...ys) - 40, Math.max(...ys) + 50];
    this.view = [left, top, Math.max(right - left, 320), Math.max(bottom - top, 240)];
    this.look();
  }

  zoom(by) {
    const [x, y, width, height] = this.view;
    this.view = [x + (width * (1 - by)) / 2, y + (height * (1 - by)) / 2, width * by, height * by];
    this.look();
  }

  look() {
    this.picture.setAttribute("viewBox", this.view.map((one) => one.toFixed(1)).join(" "));
    // Letters keep their size whatever part of the picture is looked at.
    const { clientWidth: width, clientHeight: height } = this.picture;
    const scale = width ? Math.max(this.view[2] / width, this.view[3] / height) : 1;
    this.picture.style.setProperty("--unit", `${scale.toFixed(3)}px`);
    this.picture.classList.toggle("tiny", scale > 1.25);
  }

  /** Drag the ground to move the picture, turn the wheel with Ctrl to zoom. */
  pan() {
    let from = null;
    this.picture.addEventListener("pointerdown", (event) => {
      if (event.target.closest(".node")) return;
      from = [event.clientX, event.clientY, ...this.view];
      this.picture.setPointerCapture(event.pointerId);
    });
    this.picture.addEventListener("pointermove", (event) => {
      if (!from) return;
      const scale = Math.max(from[4] / this.picture.clientWidth, from[5] / this.picture.clientHeight);
      this.view = [from[2] - (event.clientX - from[0]) * scale, from[3] - (event.clientY - from[1]) * scale, from[4], from[5]];
      this.look();
    });
    for (const end of ["pointerup", "pointercancel"]) this.picture.addEventListener(end, () => (from = null));
    this.picture.addEventListener("wheel", (event) => {
      if (!event.ctrlKey) return;
      event.preventDefault();
      this.zoom(event.deltaY > 0 ? 1.1 : 0.9);
    }, { passive: false });
  }
}
