// The bytes of a client before its 101, read by the listener's own HTTP server and all that follows it up to
// admission: handshake, path, identity, credentials, and the head that a backend would be sent.

import assert from "node:assert/strict";
import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import { backendHeaders, backendPath } from "../../../src/data-plane/backend-headers.ts";
import { identify, locate } from "../../../src/data-plane/identify.ts";
import type { Settings } from "../../../src/data-plane/settings.ts";
import { parseUpgrade } from "../../../src/data-plane/upgrade.ts";
import { cut } from "../../conformance/frame-record.ts";
import { configWith } from "../config-with.ts";
import { InjectedSocket, type Listening, listenForInjected } from "../injected-listener.ts";
import type { Random } from "../random.ts";
import { readSeeds } from "../seeds.ts";
import type { FuzzTarget } from "../target.ts";

const STATUSES = new Set([100, 200, 400, 401, 403, 404, 408, 417, 426, 431, 503]);

const CONFIG = configWith({
  listeners: [{ bind: ":0", healthPath: "/weir-health" }],
  limits: { perAddress: { connections: 100 }, maxHeaderSize: "2KiB" },
  tiers: { vip: {}, guest: { default: true } },
  identity: {
    user: [
      { jwt: "sub" },
      { header: "x-user-id" },
      { cookie: "uid", unsigned: true },
      { query: "user", unsigned: true },
      "ip",
    ],
    tier: [{ header: "x-user-tier" }],
    jwt: {
      from: ["bearer", { query: "token" }, "subprotocol"],
      secret: "a secret of at least thirty-two bytes",
    },
  },
  routes: [
    { match: { path: "/private/*" }, pool: "chat" },
    { match: { path: "/app/*" }, pool: "chat", auth: "optional", stripPrefix: "/app" },
    { match: { host: "*.example.com" }, pool: "chat", auth: "off", origins: ["https://*.example.com"] },
    { pool: "chat", auth: "off" },
  ],
});

/** Begun by the first iteration: who only wants to see an input needs nobody that listens. */
let listening: Promise<Listening> | null = null;

export const target: FuzzTarget = { ...readSeeds("upgrade-head"), isText: true, run };

async function run(input: Buffer, random: Random): Promise<void> {
  listening ??= listenForInjected(CONFIG);
  const { settings, told, upgrades, accept } = await listening;
  const socket = new InjectedSocket(random.pick(["127.0.0.1", "203.0.113.7", "2001:db8::7"]));
  const closed = once(socket, "close");
  accept(socket);
  for (const chunk of cut(input, [random.below(input.length + 1)])) {
    if (chunk.length > 0) socket.push(chunk);
  }
  // Who leaves at once is not served; some do.
  if (!random.oneIn(8)) await turn();
  socket.push(null);
  await closed;
  checkAnswers(Buffer.concat(socket.written).toString("latin1"));
  const news = told.splice(0);
  const seen = upgrades.splice(0);
  for (const message of news) {
    assert(
      !JSON.stringify(message).includes('"internal"'),
      `an error of Weir's own: ${JSON.stringify(message)}`,
    );
  }
  const admitted = news.some((message) => message.type === "admit" && message.request.kind === "connection");
  const [request] = seen;
  if (!admitted || request === undefined) return;
  assert.equal(seen.length, 1, "two upgrades on one socket");
  checkUpgrade(request);
  checkBackendHead(request, socket, settings);
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Whole answers, each known, and nobody is switched. */
function checkAnswers(written: string): void {
  if (written === "") return;
  assert.match(written, /^HTTP\/1\.1 \d\d\d /);
  for (const [, status] of written.matchAll(/^HTTP\/1\.1 (\d\d\d) /gm)) {
    assert(STATUSES.has(Number(status)), `status ${status}`);
  }
}

/** What no two servers can read differently. */
function checkUpgrade({ method, httpVersion, rawHeaders }: IncomingMessage): void {
  assert.equal(`${method} ${httpVersion}`, "GET 1.1");
  for (const name of ["host", "sec-websocket-key", "sec-websocket-version"]) {
    assert.equal(valuesOf(rawHeaders, name).length, 1, `${name} is not there once`);
  }
  assert.deepEqual(valuesOf(rawHeaders, "transfer-encoding"), []);
  assert(valuesOf(rawHeaders, "content-length").every((length) => length === "0"));
}

/** What a client says stays within its own lines, and what Weir says is said once. */
function checkBackendHead(request: IncomingMessage, socket: InjectedSocket, settings: Settings): void {
  const requestTarget = parseUpgrade(request);
  const place = locate(request, { remoteAddress: socket.remoteAddress }, settings);
  const client = identify(request, place, settings, { token: null, user: null, tier: null });
  const route = settings.routes.match(requestTarget);
  const dialTarget = settings.target("chat", "127.0.0.1:1");
  assert(dialTarget !== undefined);
  const headers = backendHeaders({
    rawHeaders: request.rawHeaders,
    client,
    route,
    target: requestTarget,
    dialTarget,
    isSecure: false,
    localPort: 8080,
    trustedHeaders: settings.trustedHeaders,
    ownCookies: settings.affinityCookies,
    requestId: "id",
  });
  assert.match(backendPath(route, requestTarget, dialTarget), /^\/[\x21-\x7e\x80-\xff]*$/);
  headers.forEach((text, i) =>
    assert.match(text, i % 2 === 0 ? /^[!#$%&'*+\-.^_`|~\w]+$/ : /^[\t\x20-\x7e\x80-\xff]*$/),
  );
  for (const name of ["host", "x-weir-user", "x-weir-tier", "x-forwarded-for", "x-request-id"]) {
    assert.equal(valuesOf(headers, name).length, 1, `${name} is not said once`);
  }
  for (const name of ["connection", "upgrade", "transfer-encoding", "keep-alive"]) {
    assert.deepEqual(valuesOf(headers, name), [], `${name} is passed on`);
  }
  if (!client.isPeerTrusted)
    assert.deepEqual(valuesOf(headers, "x-user-id"), [], "a stranger names its user");
}

/** As backends see names that take `_` for `-`. */
function valuesOf(rawHeaders: readonly string[], name: string): string[] {
  return rawHeaders.filter(
    (_, i) => i % 2 === 1 && rawHeaders[i - 1]?.toLowerCase().replaceAll("_", "-") === name,
  );
}
