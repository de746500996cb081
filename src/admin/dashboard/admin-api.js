// Requests to the admin API, and the token that they carry. The token lives as long as the tab.

const TOKEN_KEY = "weir.token";

/** A Weir that hangs counts as one that is gone. */
const ANSWER_TIMEOUT_MS = 10_000;

/** An answer other than 2xx, or none (status 0). */
export class RequestError extends Error {
  /**
   * @param {number} status
   * @param {string} message
   */
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** @returns {string | null} */
export function token() {
  return sessionStorage.getItem(TOKEN_KEY);
}

/** @param {string} value */
export function keepToken(value) {
  sessionStorage.setItem(TOKEN_KEY, value);
}

/** The subprotocols of a WebSocket, whose headers a page cannot set. */
export function tokenProtocols() {
  const value = token();
  if (value === null) return [];
  const binary = String.fromCharCode(...new TextEncoder().encode(value));
  const base64url = btoa(binary).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  return [`weir.token.${base64url}`];
}

/**
 * The answer's JSON. Throws RequestError.
 * @param {string} method
 * @param {string} path below the page's own
 * @param {unknown} [body]
 * @returns {Promise<any>}
 */
export async function request(method, path, body) {
  const value = token();
  /** @type {RequestInit} */
  const options = {
    method,
    signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS),
    headers: {
      ...(value === null ? {} : { Authorization: `Bearer ${headerText(value)}` }),
      ...(body === undefined ? {} : { "Content-Type": "application/json" }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  };
  const response = await fetch(path, options).catch(() => {
    throw new RequestError(0, "Weir cannot be reached");
  });
  const answer = await response.json().catch(() => null);
  if (response.ok) return answer;
  throw new RequestError(response.status, answer?.message ?? `the answer was ${response.status}`);
}

/** UTF-8 as a header carries it: a byte a character.
 * @param {string} value */
function headerText(value) {
  return String.fromCharCode(...new TextEncoder().encode(value));
}
