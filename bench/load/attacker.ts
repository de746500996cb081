// A client that means harm, a process of its own: `attacker.ts PORT`. It trickles heads that never end, or sends
// upgrades that are none, as many as it is told.

import { connect, type Socket } from "node:net";
import type { Attack, AttackReport } from "./commands.ts";
import { serve } from "./serve.ts";

/** So that no accept queue overflows. */
const OPENING_AT_ONCE = 256;

const TICK_MS = 10;
const MS_PER_SECOND = 1_000;

/** One that goes on for as long as bytes are sent. */
const HEAD = "GET / HTTP/1.1\r\nHost: a\r\n";

/** Without a key. */
const BAD_UPGRADE =
  "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\r\n";

const port = Number(process.argv[2]);

class Attacker {
  readonly #trickling = new Set<Socket>();
  #wanted = 0;
  #opening = 0;
  #timers: NodeJS.Timeout[] = [];
  #refused = 0;
  #failures = 0;

  async execute(attack: Attack): Promise<AttackReport> {
    if (attack.kind === "trickle") await this.#trickle(attack.sockets, attack.everyMs);
    else if (attack.kind === "bad-upgrades") this.#flood(attack.perSecond);
    else if (attack.kind === "stop") this.#stop();
    return { open: this.#trickling.size, refused: this.#refused, failures: this.#failures };
  }

  /** Resolves when they are all open; from then on, those that are cut off come back. */
  #trickle(sockets: number, everyMs: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wanted = sockets;
    this.#openMore(resolve);
    let turn = 0;
    const turns = Math.max(1, Math.round(everyMs / TICK_MS));
    this.#timers.push(
      setInterval(() => {
        let index = 0;
        for (const socket of this.#trickling) if (index++ % turns === turn) socket.write("x");
        turn = (turn + 1) % turns;
        this.#openMore(resolve);
      }, TICK_MS),
    );
    return promise;
  }

  #openMore(onAll: () => void): void {
    while (this.#opening < OPENING_AT_ONCE && this.#trickling.size + this.#opening < this.#wanted) {
      this.#opening++;
      let isOpen = false;
      const socket = this.#connect(() => {
        isOpen = true;
        this.#opening--;
        this.#trickling.add(socket);
        socket.write(HEAD);
        if (this.#trickling.size === this.#wanted) onAll();
      });
      socket.on("close", () => {
        if (!isOpen) this.#opening--;
        else if (this.#trickling.delete(socket)) this.#refused++;
      });
    }
  }

  #flood(perSecond: number): void {
    const startedAtMs = performance.now();
    let sent = 0;
    this.#timers.push(
      setInterval(() => {
        const due = ((performance.now() - startedAtMs) * perSecond) / MS_PER_SECOND;
        for (; sent < due; sent++) {
          const socket = this.#connect(() => socket.write(BAD_UPGRADE));
          socket.once("data", () => this.#refused++);
          socket.on("end", () => socket.destroy());
        }
      }, TICK_MS),
    );
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
    for (const socket of this.#trickling) socket.destroy();
    this.#trickling.clear();
  }
}

const attacker = new Attacker();

serve<Attack, AttackReport>((attack) => attacker.execute(attack));
