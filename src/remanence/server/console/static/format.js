// How values are written. Times are UTC, as the API gives them.

import { h } from "./dom.js";

/** "2025-03-01" or "2025-03-01 18:30". */
export function moment(iso) {
  if (!iso) return "";
  const clock = iso.slice(11, 16);
  return clock && clock !== "00:00" ? `${iso.slice(0, 10)} ${clock}` : iso.slice(0, 10);
}

/** A time element. */
export function time(iso) {
  return iso ? h("time", { datetime: iso, title: `${iso.replace("T", " ")} (UTC)` }, moment(iso)) : null;
}

/** An interval in words, to the day where that says enough. */
export function span(since, until) {
  if (!since && !until) return "at all times";
  if (!since) return `until ${day(until)}`;
  if (!until) return `since ${day(since)}`;
  return day(since) === day(until) ? `${moment(since)} to ${moment(until)}` : `${day(since)} to ${day(until)}`;
}

function day(iso) {
  return iso.slice(0, 10);
}

/** 0.423 as "42 %". */
export function percent(share) {
  if (share === null || share === undefined) return "–";
  const value = share * 100;
  if (value > 99 && value < 100) return "> 99 %";
  return `${value > 0 && value < 10 ? value.toFixed(1) : value.toFixed(0)} %`;
}

/** 12345 as "12,345". */
export function count(value) {
  return Number(value).toLocaleString("en-GB");
}

/** "1 memory", "3 memories". */
export function many(value, one, several = `${one}s`) {
  return `${count(value)} ${value === 1 ? one : several}`;
}

// Characters that turn the direction of what follows, and letters that are written from right to left.
const TURNS = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;
const LEFTWARD = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]|[\ud802\ud803\ud83a\ud83b]/;

/** A text within a sentence, so that neither it nor a hidden sign in it reorders what stands around it. */
export function isolated(text) {
  const plain = String(text).replace(TURNS, "");
  return LEFTWARD.test(plain) ? `\u2068${plain}\u2069` : plain;
}

/** The first characters of a text, on one line, for the middle of a sentence. */
export function short(text, length = 90) {
  return isolated(cut(String(text).replace(/\s+/g, " ").trim(), length));
}

/** The first characters of a text; no character is cut in two. */
export function cut(text, length) {
  return text.length > length ? `${text.slice(0, length - 1).replace(/[\ud800-\udbff]$/, "")}…` : text;
}

/** A name of the API in plain words: "near_duplicates" as "near duplicates". */
export function words(name) {
  return String(name).replaceAll("_", " ");
}

/** The same at the beginning of a line. */
export function title(name) {
  return words(name).replace(/^./, (first) => first.toUpperCase());
}

/** The value of a `datetime-local` field, which is in UTC here, as the API takes it. */
export function asMoment(value) {
  return value ? `${value}${value.length === 16 ? ":00" : ""}Z` : null;
}
