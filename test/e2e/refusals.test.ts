// Every refusal of the README's table as the client gets it, with `limits.rejectWith: http` and with `close`.
// The figures are written out here: nothing of Weir's own table is asked for them. `internal`, which no input
// brings about, is held in both modes by upgrade-internal-error.test.ts.
import { expect, test } from "vitest";

import { ERRORS } from "../../src/errors.ts";
import { type Provoked, provocationOf, provocations } from "../support/provocations.ts";
import type { RawConnection } from "../support/raw-connection.ts";
import { readRefusal } from "../support/refusal.ts";
import { RefusingWeir } from "../support/refusing-weir.ts";

/** Lines of an answer that say what the client shall do next; those not named here stand in no answer. */
type Lines = Readonly<Partial<Record<(typeof telling)[number], RegExp>>>;
const telling = ["retry-after", "www-authenticate", "sec-websocket-version", "upgrade"] as const;

/** 2 s, spread by half. */
const later: Lines = { "retry-after": /^[123]$/ };
const upgrade: Lines = { upgrade: /^websocket$/ };
const version: Lines = { ...upgrade, "sec-websocket-version": /^13$/ };
const bearer: Lines = { "www-authenticate": /^Bearer$/ };
const badToken: Lines = { "www-authenticate": /^Bearer error="invalid_token"$/ };

/**
 * What is done, CODE, the HTTP status and its lines, the close code under `close`: null where the answer is the
 * same in both modes. A status of null: nobody is left to answer.
 */
const table: readonly (readonly [Provoked, string, number | null, Lines, number | null])[] = [
  ["a head above limits.maxHeaderSize", "head_too_large", 431, {}, null],
  ["a head that does not end", "head_timeout", 408, {}, null],
  ["a path with ..", "bad_request", 400, {}, null],
  ["no key", "bad_upgrade", 400, {}, null],
  ["another version", "bad_upgrade", 426, version, null],
  ["deny of the route", "address_denied", 403, {}, 1008],
  ["limits.perAddress", "address_limited", 429, later, 1013],
  ["no route", "no_route", 404, {}, 1008],
  ["a foreign origin", "origin_not_allowed", 403, {}, 1008],
  ["a foreign origin with a bad token", "origin_not_allowed", 403, {}, 1008],
  ["no token", "unauthorized", 401, bearer, 3000],
  ["a bad token", "unauthorized", 401, badToken, 3000],
  ["forward auth says no", "unauthorized", 403, {}, 3000],
  ["forward auth too slow", "auth_unavailable", 503, later, 1013],
  ["keys answered with 500", "auth_unavailable", 503, later, 1013],
  ["forward auth down", "auth_unavailable", 503, later, 1013],
  ["keys down", "auth_unavailable", 503, later, 1013],
  ["a ban", "banned", 429, later, 1008],
  ["little memory, a low priority", "overloaded", 503, later, 1013],
  ["plain requests above their pace", "request_limited", 429, later, null],
  ["a plain request, http: reject", "http_rejected", 426, upgrade, null],
  ["limits.maxConnections", "connections_full", 503, later, 1013],
  ["maxConnections of the tier", "tier_full", 503, later, 1013],
  ["maxConnectionsPerUser", "user_full", 429, later, 1008],
  ["the pace, its queue full", "upgrade_limited", 503, later, 1013],
  ["the pace, its timeout over", "upgrade_limited", 503, later, 1013],
  ["full backends, no queue", "backends_full", 503, later, 1013],
  ["full backends, a full queue", "backends_full", 503, later, 1013],
  ["full backends, too long in the queue", "backends_full", 503, later, 1013],
  ["a pool without a backend", "no_backend", 503, later, 1013],
  ["a backend that resets", "backend_failed", 502, {}, 1013],
  ["a backend that is silent", "backend_timeout", 504, {}, 1013],
  ["a backend's own answer", "backend_refused", 418, {}, null],
  ["the client leaves", "client_gone", null, {}, null],
  ["a shutdown", "draining", 503, later, 1001],
];

/** Where the answer is another's, so is what its body says in place of CODE. */
const others: Partial<Record<Provoked, string>> = {
  "forward auth says no": "forbidden",
  "a backend's own answer": "the backend's own",
};

test("the table has every CODE and every provocation that there is", () => {
  expect(table.map(([what]) => what).toSorted()).toEqual(Object.keys(provocations).toSorted());
  const codes = new Set([...table.map(([, code]) => code), "internal"]);
  expect([...codes].toSorted()).toEqual(Object.keys(ERRORS).toSorted());
});

test.for(["http", "close"] as const)("each is answered as the table says, rejectWith: %s", async (mode) => {
  // Of memory, so that there is certainly little: the test runs in Weir's own process.
  const ballast = Array.from({ length: 20_000_000 }, (_, i) => i + 0.5);
  const weir = await RefusingWeir.start(mode);
  for (const [what, code, status, lines, close] of table) {
    const { changes, ask } = provocationOf(what);
    await weir.change(changes?.(weir.auth.url));
    const connection = await ask(weir);
    const hasClose = mode === "close" && close !== null;
    const expected = hasClose
      ? { status: 101, close, reason: code, more: 0 }
      : { status, error: others[what] ?? code, connection: connectionLine(lines), ...lines };
    const answer = status === null ? null : await (hasClose ? closeOn(connection) : answerOn(connection));
    expect.soft(matched(answer, lines), what).toEqual(status === null ? null : expected);
    await weir.untilLogged(`${code}: ${what}`, ({ fields }) => fields["code"] === code);
    connection.socket.destroy();
  }
  expect(ballast).toHaveLength(20_000_000);
});

type Answer = Readonly<Record<string, unknown>>;

/** The HTTP answer, up to FIN. */
async function answerOn(connection: RawConnection): Promise<Answer> {
  const { status, code, head } = await readRefusal(connection);
  const lines = telling.map((name) => [name, head.header(name)] as const);
  return { status, error: code, connection: head.header("connection"), ...Object.fromEntries(lines) };
}

/** The 101 and the Close, which is answered; then FIN, and `more` bytes before it. */
async function closeOn(connection: RawConnection): Promise<Answer> {
  const { status } = await connection.readHead();
  const { code: close, reason } = await connection.nextClose();
  await connection.sendClose(close);
  const { length: more } = await connection.readToEnd();
  return { status, close, reason, more };
}

/** The answer, with the pattern in place of each line that fits its own. */
function matched(answer: Answer | null, lines: Lines): Answer | null {
  if (answer === null) return null;
  const fitting = telling.filter((name) => lines[name]?.test(String(answer[name])));
  const patterns = fitting.map((name) => [name, lines[name]] as const);
  return { ...answer, ...(answer["error"] === undefined ? {} : Object.fromEntries(patterns)) };
}

function connectionLine(lines: Lines): string {
  return lines.upgrade === undefined ? "close" : "close, upgrade";
}
