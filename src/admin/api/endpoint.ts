// What an endpoint of the JSON API is: a method, a path, and a function from a request to an answer.

import { parseDuration, UnitError } from "../../config/units.ts";

export interface ApiRequest {
  readonly method: string;
  readonly url: URL;
  /**
   * Undefined where there is none. Throws ApiError (400, 413) where it is not JSON or too large.
   * @param maxBytes 64 KiB unless given
   */
  readonly body: (maxBytes?: number) => Promise<unknown>;
  /** The client has gone. */
  readonly signal: AbortSignal;
}

export interface ApiAnswer {
  readonly status: number;
  /** Sent as JSON. */
  readonly body: unknown;
}

/** The body of an answer that is JSON already. */
export class JsonText {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

export interface Endpoint {
  /** GET serves HEAD as well. */
  readonly method: "GET" | "POST" | "PUT" | "DELETE";
  /** Such as `/api/pools/:pool/backends/:id`; a name behind a colon is any one segment, decoded. */
  readonly path: string;
  /** Throws ApiError. */
  readonly answer: (request: ApiRequest, names: Names) => ApiAnswer | Promise<ApiAnswer>;
}

/** The segments that a path has in place of its names. */
export type Names = (name: string) => string;

/** An answer that says what was wrong with the request. */
export class ApiError extends Error {
  readonly status: number;
  readonly code: string;
  readonly headers: Readonly<Record<string, string>>;

  constructor(status: number, code: string, message: string, headers: Record<string, string> = {}) {
    super(message);
    this.status = status;
    this.code = code;
    this.headers = headers;
  }
}

/** Milliseconds; null where the query has no such key. Throws ApiError. */
export function durationOf({ searchParams }: URL, name: string): number | null {
  const text = searchParams.get(name);
  return text === null ? null : checkedDuration(text, name);
}

/** Milliseconds. Throws ApiError, which calls it by this name. */
export function checkedDuration(text: string, name: string): number {
  try {
    return parseDuration(text);
  } catch (error) {
    if (error instanceof UnitError) throw new ApiError(400, "bad_request", `${name}: ${error.message}`);
    throw error;
  }
}

/** A whole number from 1, at most `max`; `usual` where the query has no such key. Throws ApiError. */
export function limitOf({ searchParams }: URL, { usual, max }: { usual: number; max: number }): number {
  const given = searchParams.get("limit") ?? "";
  if (given === "") return usual;
  const limit = /^\d{1,9}$/.test(given) ? Number(given) : 0;
  if (limit === 0) throw new ApiError(400, "bad_request", "limit: is a whole number from 1");
  return Math.min(limit, max);
}

/** `?name`, `?name=1` and `?name=true` ask for it. Throws ApiError for a word that could mean either. */
export function isAskedFor({ searchParams }: URL, name: string): boolean {
  const given = searchParams.get(name) ?? "0";
  if (["", "1", "true"].includes(given)) return true;
  if (["0", "false"].includes(given)) return false;
  throw new ApiError(400, "bad_request", `${name}: is 1 or 0`);
}
