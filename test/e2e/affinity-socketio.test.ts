// Socket.IO with HTTP long-polling through several servers: a session is made of many requests, which must
// all reach the server that knows it, the WebSocket that may follow them included.
import { describe, expect, test } from "vitest";
import type { Socket } from "socket.io-client";

import { ask as askHttp } from "../support/http-client.ts";
import { ask, connectSocketIo, nameOf, startSocketIoServer, untilUpgraded } from "../support/socketio.ts";
import { startInFrontOf } from "../support/start-in-front.ts";
import type { StartedWeir } from "../support/start-weir.ts";
import { until } from "../support/until.ts";

type Section = Readonly<Record<string, unknown>>;

interface Affinity {
  readonly pool: Section;
  readonly config?: Section;
  /** Header lines of the n-th client. */
  readonly headersOf: (n: number) => Readonly<Record<string, string>>;
}

/** What one client has in common with all others here: its machine, which is a trusted proxy's. */
const affinities: Readonly<Record<string, Affinity>> = {
  "by user, known by a header": {
    pool: { affinity: { by: "user" } },
    config: { identity: { user: [{ header: "x-user-id" }] } },
    headersOf: (n) => ({ "X-User-Id": `user-${n}` }),
  },
  "by user, known by an address": {
    pool: { affinity: { by: "user" } },
    headersOf: (n) => ({ "X-Forwarded-For": `192.0.2.${n}` }),
  },
  "by cookie": { pool: { affinity: { by: "cookie" } }, headersOf: () => ({}) },
};

const names = ["first", "second", "third"];

async function startServers() {
  return Promise.all(names.map((name) => startSocketIoServer(name)));
}

async function connect(weir: StartedWeir, { headersOf }: Affinity, n: number, transports?: string[]) {
  return connectSocketIo(weir.httpUrl, {
    extraHeaders: headersOf(n),
    // Keeps cookies, as a browser does.
    withCredentials: true,
    ...(transports === undefined ? {} : { transports }),
  });
}

describe.for(Object.entries(affinities))("with affinity %s", ([, affinity]) => {
  const { pool, config = {} } = affinity;

  test("clients that begin with polling are spread, and each has its WebSocket where its session is", async () => {
    const servers = await startServers();
    const weir = await startInFrontOf(
      servers.map(({ url }) => url),
      { pool, config: { ...config, threads: 2 } },
    );
    const sockets: Socket[] = [];
    // One after the other: a request holds no slot, so only WebSockets weigh in the choice.
    for (let n = 0; n < 6; n++) {
      const socket = await connect(weir, affinity, n);
      await untilUpgraded(socket);
      sockets.push(socket);
    }
    const reached = await Promise.all(sockets.map(nameOf));
    expect(reached.toSorted()).toEqual([...names, ...names].toSorted());
    for (const [n, socket] of sockets.entries()) expect(await ask(socket, "echo", n)).toEqual([n]);
  });

  test("a session by polling alone stays with its server", async () => {
    const servers = await startServers();
    const weir = await startInFrontOf(
      servers.map(({ url }) => url),
      // Without affinity, no two requests in a row would reach the same server.
      { pool: { ...pool, balance: "round-robin" }, config: { ...config, threads: 2 } },
    );
    const sockets = await Promise.all([0, 1, 2, 3].map((n) => connect(weir, affinity, n, ["polling"])));
    const disconnects: string[] = [];
    for (const socket of sockets) socket.on("disconnect", (reason) => disconnects.push(reason));
    const large = Buffer.alloc(100_000, 1);
    for (const socket of sockets) {
      const name = await nameOf(socket);
      for (let i = 0; i < 5; i++) expect(await ask(socket, "echo", i, large)).toEqual([i, large]);
      expect(await nameOf(socket)).toBe(name);
      expect(socket.io.engine.transport.name).toBe("polling");
    }
    expect(disconnects).toEqual([]);
  });

  test("a client whose server is gone has its new session on another, and stays there", async () => {
    const servers = await startServers();
    const weir = await startInFrontOf(
      servers.map(({ url }) => url),
      { pool: { ...pool, balance: "round-robin" }, config },
    );
    const socket = await connectSocketIo(weir.httpUrl, {
      transports: ["polling"],
      extraHeaders: affinity.headersOf(0),
      withCredentials: true,
      reconnectionDelay: 1,
    });
    const before = await nameOf(socket);
    await servers[names.indexOf(before)]?.stop();
    const after = await until("the client is connected again", async () => {
      const name = socket.connected && (await nameOf(socket));
      return name !== before && name;
    });
    for (let i = 0; i < 5; i++) expect(await ask(socket, "echo", i)).toEqual([i]);
    expect(await nameOf(socket)).toBe(after);
  });
});

describe("without affinity", () => {
  const pool = { affinity: "off", balance: "round-robin" };

  test("a session is known to one server, and its requests reach the others", async () => {
    const servers = await startServers();
    const weir = await startInFrontOf(
      servers.map(({ url }) => url),
      { pool },
    );
    const path = "/socket.io/?EIO=4&transport=polling";
    const opened = await askHttp(weir.httpUrl, { path });
    const { sid } = JSON.parse(opened.body.toString().slice(1)) as { sid: string };
    const request = { path: `${path}&sid=${sid}`, method: "POST", body: "40" };
    for (let i = 1; i < servers.length; i++) {
      const { status, body } = await askHttp(weir.httpUrl, request);
      expect(status).toBe(400);
      expect(JSON.parse(body.toString())).toMatchObject({ message: "Session ID unknown" });
    }
    // Each has had its turn: of the next turns, one is the first server's again.
    const statuses = [];
    for (const _ of servers) statuses.push((await askHttp(weir.httpUrl, request)).status);
    expect(statuses.toSorted((a, b) => a - b)).toEqual([200, 400, 400]);
  });

  test("a client never connects by polling", async () => {
    const servers = await startServers();
    const weir = await startInFrontOf(
      servers.map(({ url }) => url),
      { pool },
    );
    const options = { transports: ["polling"], reconnection: false };
    await expect(connectSocketIo(weir.httpUrl, options)).rejects.toThrow("error");
  });

  test("a client that uses its WebSocket alone is served all the same", async () => {
    const servers = await startServers();
    const weir = await startInFrontOf(
      servers.map(({ url }) => url),
      { pool },
    );
    const socket = await connectSocketIo(weir.httpUrl, { transports: ["websocket"] });
    expect(await ask(socket, "echo", "hello")).toEqual(["hello"]);
  });
});
