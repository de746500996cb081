// A client that means harm, a process of its own: `attacker.ts PORT`. It trickles heads that never end, says nothing
// on many sockets, or sends upgrades that are refused, as many as it is told.

import { connect, type Socket } from "node:net";
import type { Attack, AttackReport } from "./commands.ts";
import { serve } from "./serve.ts";

/** So that no accept queue overflows. */
const OPENING_AT_ONCE = 256;

const TICK_MS = 10;
/** Attackers who know nothing of each other come one by one, not a hundredth of a second's worth at a time. */
const FLOOD_TICK_MS = 1;
const MS_PER_SECOND = 1_000;

/** One that goes on for as long as bytes are sent. */
const HEAD = "GET / HTTP/1.1\r\nHost: a\r\n";

const VALID = ["Host: a", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"];
const KEY = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";

interface BadUpgrade {
  readonly bytes: string;
  /** Of the answer. */
  readonly status: number;
}

/** Of Weir's admission, one for each point at which it may end before anybody is asked; by route and origin as in the row. */
const BAD_UPGRADES: readonly BadUpgrade[] = [
  { bytes: headOf("/", VALID), status: 400 },
  { bytes: headOf("/", [...VALID.slice(0, -1), "Sec-WebSocket-Version: 12", KEY]), status: 426 },
  { bytes: headOf("/nowhere", [...VALID, KEY]), status: 404 },
  { bytes: headOf("/", [...VALID, KEY, "Origin: https://evil.example"]), status: 403 },
  { bytes: headOf("/", [...VALID, KEY, "no header at all"]), status: 400 },
];

const port = Number(process.argv[2]);

class Attacker {
  /** Those that trickle or are silent. */
  readonly #kept = new Set<Socket>();
  #wanted = 0;
  #opening = 0;
  #timers: NodeJS.Timeout[] = [];
  #opened = 0;
  #refused = 0;
  #unexpected = 0;
  #failures = 0;

  async execute(attack: Attack): Promise<AttackReport> {
    if (attack.kind === "trickle") await this.#trickle(attack.sockets, attack.everyMs);
    else if (attack.kind === "silent") this.#keepSilent(attack.sockets);
    else if (attack.kind === "bad-upgrades") this.#flood(attack.perSecond);
    else if (attack.kind === "stop") this.#stop();
    return {
      open: this.#kept.size,
      opened: this.#opened,
      refused: this.#refused,
      unexpected: this.#unexpected,
      failures: this.#failures,
    };
  }

  /** Resolves when they are all open; from then on, those that are cut off come back. */
  #trickle(sockets: number, everyMs: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wanted = sockets;
    const begin = (socket: Socket): void => {
      socket.write(HEAD);
      if (this.#kept.size === this.#wanted) resolve();
    };
    this.#openMore(begin);
    let turn = 0;
    const turns = Math.max(1, Math.round(everyMs / TICK_MS));
    this.#timers.push(
      setInterval(() => {
        let index = 0;
        for (const socket of this.#kept) if (index++ % turns === turn) socket.write("x");
        turn = (turn + 1) % turns;
        this.#openMore(begin);
      }, TICK_MS),
    );
    return promise;
  }

  /** There may never be so many: who is attacked may have no room for them. */
  #keepSilent(sockets: number): void {
    this.#wanted = sockets;
    const openMore = (): void => this.#openMore(() => {});
    openMore();
    this.#timers.push(setInterval(openMore, TICK_MS));
  }

  #openMore(onOpen: (socket: Socket) => void): void {
    while (this.#opening < OPENING_AT_ONCE && this.#kept.size + this.#opening < this.#wanted) {
      this.#opening++;
      let isOpen = false;
      const socket = this.#connect(() => {
        isOpen = true;
        this.#opening--;
        this.#opened++;
        this.#kept.add(socket);
        onOpen(socket);
      });
      socket.on("close", () => {
        if (!isOpen) this.#opening--;
        else if (this.#kept.delete(socket)) this.#refused++;
      });
    }
  }

  #flood(perSecond: number): void {
    const startedAtMs = performance.now();
    let sent = 0;
    this.#timers.push(
      setInterval(() => {
        const due = ((performance.now() - startedAtMs) * perSecond) / MS_PER_SECOND;
        for (; sent < due; sent++) this.#askBadly(BAD_UPGRADES[sent % BAD_UPGRADES.length]);
      }, FLOOD_TICK_MS),
    );
  }

  #askBadly(upgrade: BadUpgrade | undefined): void {
    if (upgrade === undefined) return;
    const { bytes, status } = upgrade;
    const socket = this.#connect(() => socket.write(bytes));
    socket.once("data", (answer: Buffer) => {
      this.#refused++;
      if (!answer.toString("latin1").startsWith(`HTTP/1.1 ${status} `)) this.#unexpected++;
    });
    socket.on("end", () => socket.destroy());
  }

  #connect(onConnect: () => void): Socket {
    const socket = connect({ host: "127.0.0.1", port }, onConnect);
    socket.on("error", () => this.#failures++);
    socket.resume();
    return socket;
  }

  #stop(): void {
    for (const timer of this.#timers) clearInterval(timer);
    this.#timers = [];
    this.#wanted = 0;
    for (const socket of this.#kept) socket.destroy();
    this.#kept.clear();
  }
}

function headOf(path: string, lines: readonly string[]): string {
  return [`GET ${path} HTTP/1.1`, ...lines, "", ""].join("\r\n");
}

const attacker = new Attacker();

serve<Attack, AttackReport>((attack) => attacker.execute(attack));
