// Makes elements. Every text becomes a text node: nothing in the console reads a string as markup.

const SVG = "http://www.w3.org/2000/svg";
const PROPERTIES = new Set(["value", "checked", "disabled", "selected", "hidden", "open", "indeterminate"]);
const LINKS = /^(#|https:\/\/github\.com\/)/;

/** An element. `options`: attributes; `on` listeners by event; `style` CSS properties; `data` for `dataset`. */
export function h(tag, options = {}, ...children) {
  return fill(document.createElement(tag), options, children);
}

/** The same for SVG. */
export function s(tag, options = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), options, children);
}

function fill(element, options, children) {
  for (const [name, value] of Object.entries(options)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") {
      for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    } else if (name === "style") {
      for (const [property, setting] of Object.entries(value)) element.style.setProperty(property, String(setting));
    } else if (name === "data") {
      Object.assign(element.dataset, value);
    } else if (PROPERTIES.has(name)) {
      element[name] = value;
    } else if (/^on/i.test(name) || (name === "href" && !LINKS.test(value))) {
      throw new Error(`the console sets no ${name}`);
    } else {
      element.setAttribute(name, value === true ? "" : String(value));
    }
  }
  add(element, children);
  return element;
}

/** Append what is there: elements, texts, lists of them. */
export function add(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
}

/** Put other children into an element. */
export function put(element, ...children) {
  element.replaceChildren();
  add(element, children);
}

/** A button. */
export function button(label, click, options = {}) {
  const { kind = "", ...rest } = options;
  return h("button", { type: "button", class: kind, on: { click }, ...rest }, label);
}

let fields = 0;

/** A labelled control. The label stands beside it: around it, its name would hold its value too. */
export function field(label, control, options = {}) {
  control.id ||= `field-${(fields += 1)}`;
  return h("div", { class: `field ${options.class ?? ""}` }, h("label", { for: control.id }, label), control);
}

/** A select with options as pairs of value and label. */
export function select(choices, chosen, options = {}) {
  return h(
    "select",
    options,
    choices.map(([value, label]) => h("option", { value, selected: value === chosen }, label)),
  );
}
