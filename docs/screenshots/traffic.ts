// A bounded load that looks like people: clients of three tiers that come, talk more and less in turns, go and
// come back, and the backends that answer them. All in this process.

import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { WebSocket, WebSocketServer } from "ws";

interface Person {
  readonly user: string | null;
  readonly tier: string;
  readonly path: string;
  /** Connections at once. */
  readonly tabs: number;
  readonly messagesPerSecond: number;
  readonly messageBytes: number;
}

const PEOPLE: readonly Person[] = [
  ...named("normal", "/chat/lobby", 1.5, [
    "amara",
    "bjarne",
    "chen-wei",
    "dana",
    "elif",
    "farid",
    "greta",
    "hugo",
    "ines",
    "jakub",
    "kofi",
    "lena",
    "mateo",
    "noor",
    "olga",
    "priya",
    "quentin",
    "rosa",
    "sami",
    "tove",
    "umar",
    "vera",
    "wanda",
    "xenia",
    "yusuf",
    "zoe",
  ]),
  ...named("vip", "/game/arena", 14, ["atlas", "blitz", "comet", "dune", "ember", "flint"]),
  { user: "trade-bot-7", tier: "vip", path: "/game/arena", tabs: 2, messagesPerSecond: 24, messageBytes: 90 },
  {
    user: "importer@example.com",
    tier: "normal",
    path: "/chat/files",
    tabs: 1,
    messagesPerSecond: 7,
    messageBytes: 9_000,
  },
  ...Array.from({ length: 34 }, (): Person => ({
    user: null,
    tier: "guest",
    path: "/chat/lobby",
    tabs: 1,
    messagesPerSecond: 0.4,
    messageBytes: 70,
  })),
];

function named(tier: string, path: string, messagesPerSecond: number, users: readonly string[]): Person[] {
  return users.map((user, i) => ({
    user,
    tier,
    path,
    tabs: 1 + (i % 3),
    messagesPerSecond: messagesPerSecond * (0.4 + (i % 5) / 4),
    messageBytes: 60 + (i % 7) * 40,
  }));
}

/** Weather of the load: a share from 0.35 to 1 that goes up and down. */
function mood(): number {
  const seconds = performance.now() / 1_000;
  return 0.7 + 0.2 * Math.sin(seconds / 23) + 0.15 * Math.sin(seconds / 7.3);
}

export class Traffic {
  readonly #url: string;
  readonly #timers = new Set<NodeJS.Timeout>();
  readonly #sockets = new Set<WebSocket>();
  #isOver = false;

  /** @param url of Weir's listener, `ws://…` */
  constructor(url: string) {
    this.#url = url;
  }

  /** Everyone has come once after so many milliseconds. */
  start(withinMs: number): void {
    const seats = PEOPLE.flatMap((person, index) =>
      Array.from({ length: person.tabs }, () => ({ person, index })),
    );
    for (const [at, { person, index }] of seats.entries()) {
      this.#later((withinMs * at) / seats.length, () => this.#visit(person, index));
    }
  }

  stop(): void {
    this.#isOver = true;
    for (const timer of this.#timers) clearTimeout(timer);
    for (const socket of this.#sockets) socket.terminate();
  }

  #later(ms: number, run: () => void): void {
    if (this.#isOver) return;
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      run();
    }, ms);
    this.#timers.add(timer);
  }

  /** Stays for one to four minutes, and comes back a little later. */
  #visit(person: Person, index: number): void {
    const identity =
      person.user === null ? { "X-Forwarded-For": `203.0.113.${index}` } : { "X-User-Id": person.user };
    const headers = { ...identity, "X-User-Tier": person.tier };
    const socket = new WebSocket(this.#url + person.path, { headers, autoPong: false });
    this.#sockets.add(socket);
    // As far away as people are.
    socket.on("ping", (data) =>
      this.#later(18 + Math.random() * 50, () => void this.#ifOpen(socket, () => socket.pong(data))),
    );
    socket.on("open", () => this.#talk(person, socket));
    socket.on("error", () => {});
    socket.on("close", () => {
      this.#sockets.delete(socket);
      this.#later(1_000 + Math.random() * 6_000, () => this.#visit(person, index));
    });
    this.#later(60_000 + Math.random() * 180_000, () => socket.close(1000));
  }

  #talk(person: Person, socket: WebSocket): void {
    const isOpen = this.#ifOpen(socket, () => socket.send("x".repeat(person.messageBytes)));
    const pauseMs = (-Math.log(1 - Math.random()) * 1_000) / (person.messagesPerSecond * mood());
    if (isOpen) this.#later(pauseMs, () => this.#talk(person, socket));
  }

  #ifOpen(socket: WebSocket, run: () => void): boolean {
    if (socket.readyState !== WebSocket.OPEN) return false;
    run();
    return true;
  }
}

export interface ChattyBackend {
  readonly url: string;
  close(): void;
}

/** Answers each message with one to three of its own. */
export async function startChattyBackend(): Promise<ChattyBackend> {
  const server = new WebSocketServer({ host: "127.0.0.1", port: 0 });
  server.on("connection", (socket) => {
    socket.on("error", () => {});
    socket.on("message", (data: Buffer) => {
      const answers = 1 + Math.floor(Math.random() * 3);
      for (let i = 0; i < answers; i++) socket.send(data.subarray(0, 600));
    });
  });
  await once(server, "listening");
  const close = (): void => {
    for (const client of server.clients) client.terminate();
    server.close();
  };
  return { url: `ws://127.0.0.1:${(server.address() as AddressInfo).port}`, close };
}
