// Calls of the published API. The key is kept for this tab alone, and goes into a header, never into an address.

const KEY = "remanence.key";
const listeners = new Set();

/** What went wrong, with the status that the server answered; 0 when it could not be reached. */
export class ApiError extends Error {
  constructor(status, type, message, extra = {}) {
    super(message);
    this.status = status;
    this.type = type;
    this.requestId = extra.requestId ?? null;
    this.retryAfter = extra.retryAfter ?? null;
  }
}

export function key() {
  return sessionStorage.getItem(KEY);
}

export function setKey(value) {
  if (value === null) sessionStorage.removeItem(KEY);
  else sessionStorage.setItem(KEY, value);
}

/** Call `listener` whenever the server says that no valid key came along. */
export function onRefused(listener) {
  listeners.add(listener);
}

/** One request. `query` and `body` are plain values; `once` sends an Idempotency-Key. Throws `ApiError`. */
export async function call(method, path, { query = {}, body, signal, once = false, quiet = false } = {}) {
  const headers = { Accept: "application/json" };
  if (key()) headers.Authorization = `Bearer ${key()}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (once) headers["Idempotency-Key"] = unique();
  let response;
  try {
    response = await fetch(`api/v1/${path}${asQuery(query)}`, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal,
      cache: "no-store",
      credentials: "omit",
      referrerPolicy: "no-referrer",
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "offline", "The server cannot be reached.");
  }
  const data = await answer(response);
  if (response.ok) return data;
  const told = data?.error ?? {};
  const retry = Number(response.headers.get("Retry-After"));
  const error = new ApiError(response.status, told.type ?? "unknown", told.message ?? response.statusText, {
    requestId: told.request_id ?? response.headers.get("X-Request-ID"),
    retryAfter: retry > 0 ? retry : null,
  });
  if (response.status === 401 && !quiet) listeners.forEach((listener) => listener(error));
  throw error;
}

export const get = (path, options) => call("GET", path, options);
export const post = (path, options) => call("POST", path, options);
export const remove = (path, options) => call("DELETE", path, options);

/** A path with an id in it. */
export function at(strings, ...ids) {
  return strings.reduce((path, part, place) => path + encodeURIComponent(ids[place - 1]) + part);
}

async function answer(response) {
  try {
    return await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    return null;
  }
}

function asQuery(query) {
  const pairs = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value === null || value === undefined || value === "") continue;
    for (const one of Array.isArray(value) ? value : [value]) pairs.append(name, String(one));
  }
  const text = pairs.toString();
  return text && `?${text}`;
}

function unique() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
