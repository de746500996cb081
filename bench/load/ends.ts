// Connections that end in every way that there is: the clients of each kind, and the configuration for them.

import { EndsAdmin, HAND_POOLS } from "./ends-admin.ts";
import { EndsClient, NORMAL, NotLetIn } from "./ends-client.ts";
import { maskedCloseFrame, maskedFrames } from "./frames.ts";

const MESSAGE = maskedFrames(64, 1);
const MAX_MESSAGE_BYTES = 1_024;
const BIG_MESSAGE = maskedFrames(2 * MAX_MESSAGE_BYTES, 1);

/** What Weir in front of it needs: `timeouts` that are over soon, and these routes. */
export function endsConfig(backendPort: number): Readonly<Record<string, unknown>> {
  const url = `ws://127.0.0.1:${backendPort}`;
  // While one is taken away the other is still there.
  const ofTwo = {
    onRemove: { mode: "drain", grace: "0s", spread: "0s" },
    backends: ["a", "b"].map((id) => ({ id, url })),
  };
  const pool = { healthCheck: "off", outlier: "off", affinity: { by: "user", ttl: "1s" } };
  return {
    identity: { user: [{ header: "x-user-id" }] },
    tiers: { everyone: { messages: { rate: "100/s", burst: 10 }, default: true } },
    limits: { maxMessageSize: `${MAX_MESSAGE_BYTES}B` },
    timeouts: {
      handshake: "500ms",
      backendHandshake: "500ms",
      idle: "500ms",
      close: "200ms",
      ping: { interval: "100ms", timeout: "5s" },
    },
    routes: [
      { match: { path: "/" }, pool: "backend" },
      { match: { path: "/backend/*" }, pool: "backend" },
      {
        match: { path: "/strict" },
        pool: "backend",
        messages: { rate: "10/s", burst: 1, onExceed: "close" },
      },
      { match: { path: "/nobody" }, pool: "nobody" },
      ...HAND_POOLS.map((name) => ({ match: { path: `/${name}` }, pool: name })),
    ],
    pools: {
      backend: { ...pool, backends: [url] },
      // Port 1 refuses.
      nobody: { ...pool, retries: 0, backends: ["ws://127.0.0.1:1"] },
      ...Object.fromEntries(HAND_POOLS.map((name) => [name, { ...pool, ...ofTwo }])),
    },
  };
}

type Kind = (client: EndsClient, admin: EndsAdmin) => Promise<void>;

/** Each is over when its socket is closed. */
const KINDS: Readonly<Record<string, Kind>> = {
  "the client says goodbye": async (client) => {
    await client.open("/backend/stays");
    client.write(maskedCloseFrame(NORMAL));
  },
  "the client sends a message and says goodbye": async (client) => {
    await client.open("/backend/stays");
    client.write(Buffer.concat([MESSAGE, maskedCloseFrame(NORMAL)]));
  },
  "the backend says goodbye": async (client) => await client.open("/backend/closes"),
  "the client is gone": async (client) => {
    await client.open("/backend/stays");
    client.end();
  },
  "the client resets": async (client) => {
    await client.open("/backend/stays");
    client.reset();
  },
  "the client resets within a message": async (client) => {
    await client.open("/backend/stays");
    client.write(MESSAGE.subarray(0, 20));
    await client.pause();
    client.reset();
  },
  "the backend is gone": async (client) => await client.open("/backend/ends"),
  "the backend resets": async (client) => await client.open("/backend/resets"),
  "nothing is said": async (client) => await client.open("/backend/stays"),
  "the protocol is broken and nobody answers": async (client) => {
    client.answersClose = false;
    await client.open("/backend/stays");
    // A client's frames are masked (RFC 6455 §5.1).
    client.write(Buffer.from([0x81, 0x01, 0x61]));
  },
  "a message is too big": async (client) => {
    await client.open("/backend/stays");
    client.write(BIG_MESSAGE);
  },
  "more messages come than may": async (client) => {
    await client.open("/strict");
    client.write(Buffer.concat([MESSAGE, MESSAGE, MESSAGE]));
  },
  "its backend is drained by hand": (client, admin) => withoutItsBackend(client, admin, "draining"),
  "its backend is set down by hand": (client, admin) => withoutItsBackend(client, admin, "down"),
  "an operator closes it": async (client, admin) => {
    await client.open("/backend/stays");
    const { id } = await admin.connectionOf(client.user);
    await admin.ask("DELETE", `/api/connections/${id}`);
  },
  "an operator closes all of its user's": async (client, admin) => {
    await client.open("/backend/stays");
    await admin.connectionOf(client.user);
    await admin.ask("DELETE", `/api/users/${client.user}/connections`);
  },
  "its user is banned": async (client, admin) => {
    await client.open("/backend/stays");
    await admin.ask("PUT", `/api/users/${client.user}/ban`, { for: "1h" });
    await client.closed;
    await admin.ask("DELETE", `/api/users/${client.user}/ban`);
  },
  "the backend refuses": async (client) => client.ask("/backend/refuses"),
  "the backend takes too long": async (client) => client.ask("/backend/waits"),
  "the client does not wait": async (client) => {
    client.ask("/backend/waits");
    await client.pause();
    client.reset();
  },
  "the backend cannot be reached": async (client) => client.ask("/nobody"),
  "there is no route": async (client) => client.ask("/nowhere"),
  "the head is not whole": async (client) => client.write("GET / HTTP/1.1\r\nHost: a"),
  "it is no HTTP": async (client) => client.write("\0\r\n\r\n"),
  "it is a plain request": async (client) =>
    client.write("GET /backend/request HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
};

export const KINDS_OF_END = Object.keys(KINDS).length;

interface Ends {
  readonly port: number;
  readonly adminPort: number;
  readonly perKind: number;
  readonly parallel: number;
}

/** So many of each kind, all kinds mixed, so many at a time. Rejects where one does not end as it should. */
export async function runEnds({ port, adminPort, perKind, parallel }: Ends): Promise<void> {
  const kinds = Object.entries(KINDS);
  const admin = new EndsAdmin(adminPort);
  let begun = 0;
  const worker = async (): Promise<void> => {
    while (begun < perKind * kinds.length) {
      const [name, kind] = kinds[begun % kinds.length] as [string, Kind];
      const client = new EndsClient(port, `user-${begun}`);
      begun += 1;
      try {
        await kind(client, admin);
        await client.closed;
      } catch (error) {
        // On a starved machine somebody was too slow, and it has ended as well.
        if (error instanceof NotLetIn) continue;
        throw new Error(`${name}: ${String(error)}`, { cause: error });
      }
    }
  };
  try {
    await Promise.all(Array.from({ length: parallel }, worker));
  } finally {
    admin.close();
  }
}

async function withoutItsBackend(
  client: EndsClient,
  admin: EndsAdmin,
  state: "draining" | "down",
): Promise<void> {
  await admin.withPool(async (pool) => {
    await client.open(`/${pool}`);
    const { backend } = await admin.connectionOf(client.user);
    await admin.setBackend(pool, backend, state);
    await client.closed;
    await admin.setBackend(pool, backend, "active");
  });
}
