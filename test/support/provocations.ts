// How to be refused by a RefusingWeir, for every reason there is: each gives the connection whose answer is due.
import type { RawConnection } from "./raw-connection.ts";
import { asks, type Changes, type RefusingWeir } from "./refusing-weir.ts";
import { edKeys, signToken } from "./tokens.ts";

interface Provocation {
  /** Settings that it needs. */
  readonly changes?: (authUrl: string) => Changes;
  readonly ask: (weir: RefusingWeir) => Promise<RawConnection>;
}

const foreign = "Origin: https://evil.example";
const badToken = "Authorization: Bearer bad.to.ken";
const session = "Cookie: session=1";
const token = signToken({ sub: "ann" }, { algorithm: "EdDSA", key: edKeys().privateKey });

const plain = (path: string): string =>
  `GET ${path} HTTP/1.1\r\nHost: a\r\nX-User-Id: plain\r\nConnection: close\r\n\r\n`;

const askWith =
  (path: string, ...lines: string[]): Provocation["ask"] =>
  (weir) =>
    weir.ask(path, { lines });

export const provocations = {
  "a head above limits.maxHeaderSize": { ask: askWith("/", `X: ${"a".repeat(17 * 1024)}`) },
  "a head that does not end": {
    changes: () => ({ timeouts: { handshake: "100ms" } }),
    ask: (weir) => weir.send(weir.request("/").slice(0, -2)),
  },
  "a path with ..": { ask: askWith("/a/../b") },
  "no key": { ask: (weir) => weir.ask("/", { omit: ["Sec-WebSocket-Key"] }) },
  "another version": { ask: (weir) => weir.ask("/", { version: "8" }) },
  "deny of the route": { ask: (weir) => weir.ask("/denied", { address: "192.0.2.9" }) },
  "limits.perAddress": {
    async ask(weir) {
      await weir.open("/", { address: "203.0.113.1" });
      return weir.ask("/", { address: "203.0.113.1" });
    },
  },
  "no route": { ask: askWith("/nowhere") },
  "a foreign origin": { ask: askWith("/page", foreign) },
  "a foreign origin with a bad token": { ask: askWith("/token", foreign, badToken) },
  "no token": { ask: askWith("/token") },
  "a bad token": { ask: askWith("/token", badToken) },
  "forward auth says no": { ask: askWith("/asks/forbidden", session) },
  "forward auth too slow": {
    changes: (auth) => ({ identity: { forwardAuth: { ...asks(auth), timeout: "50ms" } } }),
    ask: askWith("/asks/slow", session),
  },
  "forward auth down": {
    async ask(weir) {
      await weir.auth.stop();
      return weir.ask("/asks", { lines: [session] });
    },
  },
  "keys answered with 500": {
    changes: (auth) => ({ identity: { jwt: { jwksUrl: `${auth}/keys` } } }),
    ask: askWith("/token", `Authorization: Bearer ${token}`),
  },
  "keys down": {
    changes: (auth) => ({ identity: { jwt: { jwksUrl: `${auth}/other-keys` } } }),
    async ask(weir) {
      await weir.auth.stop();
      return weir.ask("/token", { lines: [`Authorization: Bearer ${token}`] });
    },
  },
  "a ban": {
    async ask(weir) {
      await weir.ban("villain");
      return weir.ask("/", { user: "villain" });
    },
  },
  "little memory, a low priority": {
    changes: () => ({ limits: { overload: { memory: "1%" } } }),
    ask: askWith("/"),
  },
  "plain requests above their pace": {
    async ask(weir) {
      await (await weir.send(plain("/requests"))).readHead();
      return weir.send(plain("/requests"));
    },
  },
  "a plain request, http: reject": { ask: (weir) => weir.send(plain("/upgrades")) },
  "limits.maxConnections": {
    // There is one at least: of the client that is there twice with its address.
    changes: () => ({ limits: { maxConnections: 1 } }),
    ask: askWith("/"),
  },
  "maxConnections of the tier": {
    async ask(weir) {
      await weir.open("/", { tier: "full" });
      return weir.ask("/", { tier: "full" });
    },
  },
  maxConnectionsPerUser: {
    async ask(weir) {
      await weir.open("/", { tier: "single", user: "ann" });
      return weir.ask("/", { tier: "single", user: "ann" });
    },
  },
  "the pace, its queue full": {
    changes: () => ({ limits: { upgrades: { rate: "1/h", burst: 1, queue: 1, timeout: "60s" } } }),
    async ask(weir) {
      await weir.open();
      await weir.ask("/");
      await weir.untilWaiting("upgrades");
      return weir.ask("/");
    },
  },
  "the pace, its timeout over": {
    changes: () => ({ limits: { upgrades: { rate: "1/h", burst: 1, queue: 1, timeout: "50ms" } } }),
    async ask(weir) {
      await weir.open();
      return weir.ask("/");
    },
  },
  "full backends, no queue": {
    async ask(weir) {
      await weir.open("/full");
      return weir.ask("/full");
    },
  },
  "full backends, a full queue": {
    async ask(weir) {
      await weir.open("/queue");
      await weir.ask("/queue");
      await weir.untilWaiting("pool:queue");
      return weir.ask("/queue");
    },
  },
  "full backends, too long in the queue": {
    async ask(weir) {
      await weir.open("/short-queue");
      return weir.ask("/short-queue");
    },
  },
  "a pool without a backend": { ask: askWith("/empty") },
  "a backend that resets": { ask: askWith("/resetting") },
  "a backend that is silent": {
    changes: () => ({ timeouts: { backendHandshake: "50ms" } }),
    ask: askWith("/silent"),
  },
  "a backend's own answer": { ask: askWith("/refusing") },
  "the client leaves": {
    async ask(weir) {
      const dials = weir.silent.connections.length;
      const connection = await weir.ask("/silent");
      await weir.silent.connection(dials);
      connection.reset();
      return connection;
    },
  },
  "a shutdown": {
    async ask(weir) {
      const request = weir.request("/");
      const connection = await weir.send(request.slice(0, 20));
      // Answered on another socket: by then Weir has read what was sent on the first.
      await weir.open();
      await weir.drain();
      await connection.write(request.slice(20));
      return connection;
    },
  },
} as const satisfies Record<string, Provocation>;

export type Provoked = keyof typeof provocations;

export function provocationOf(provoked: Provoked): Provocation {
  return provocations[provoked];
}
