// The running Weir that a new process is to replace, as the new one sees it: what it serves, its state, and
// its leave. Nothing happens to it before the new process is done.

import net from "node:net";
import type { BindAddress } from "../../config/schema.ts";
import { ExitCode, FatalError } from "../../errors.ts";
import { isServed } from "../../unix-socket.ts";
import { StateReader, type StateRecord } from "../state-format.ts";
import {
  answerSchema,
  Conversation,
  type Facts,
  parseLine,
  PROTOCOL_VERSION,
  socketPathOf,
} from "./conversation.ts";
import { readPid } from "./pid-file.ts";

/** How long a Weir may take to say who it is, and again to hand its state over. */
const PATIENCE_MS = 2_000;

/**
 * This process, if it is later than that with its next step after `begin`, may be given up before that is done: a
 * second less than the other one waits.
 */
const MAX_HAND_OVER_MS = 4_000;

/** What it said before it ended the conversation is heard within this time. */
const LAST_WORDS_MS = 250;

const END_OF_STATE = "]}";

/** There is nobody to take over from, and why. */
interface Nobody {
  readonly predecessor: null;
  readonly reason: string;
}

/** What came of its state. */
export interface Inheritance {
  readonly records: readonly StateRecord[];
  /** Null where it is whole. */
  readonly lacks: string | null;
}

export class Predecessor {
  readonly pid: number;
  readonly #socketPath: string;
  readonly #facts: Facts;
  readonly #conversation: Conversation;
  #begunAtMs = 0;
  /** It is known that nobody goes on. */
  #isGone = false;

  private constructor(socketPath: string, facts: Facts, conversation: Conversation) {
    this.pid = facts.pid;
    this.#socketPath = socketPath;
    this.#facts = facts;
    this.#conversation = conversation;
  }

  /** The Weir whose pid the file holds, if it answers: a stranger that has got the pid since is left alone. */
  static async find(pidFile: string): Promise<{ readonly predecessor: Predecessor } | Nobody> {
    const pid = await readPid(pidFile);
    if (pid === null) return nobody("the file holds no pid");
    const socketPath = socketPathOf(pidFile);
    const socket = await connect(socketPath);
    if (socket === null) return nobody(`no Weir with pid ${pid} answers`);
    const conversation = new Conversation(socket);
    conversation.say(JSON.stringify({ weir: "takeover", version: PROTOCOL_VERSION, pid: process.pid }));
    const line = await conversation.hear(performance.now() + PATIENCE_MS);
    const answer = answerSchema.safeParse(parseLine(line));
    if (answer.success && !("refused" in answer.data) && answer.data.pid === pid) {
      return { predecessor: new Predecessor(socketPath, answer.data, conversation) };
    }
    conversation.destroy();
    if (!answer.success) return nobody(`the Weir with pid ${pid} does not answer`);
    return nobody("refused" in answer.data ? answer.data.refused : `pid ${pid} is not the one that answers`);
  }

  /** Whether it accepts connections there, so that the address may be shared. */
  serves(bind: BindAddress): boolean {
    return this.#facts.listeners.includes(placeOf(bind));
  }

  /** Whether its admin server is there, so that the address comes free only by its leave. */
  administers(bind: BindAddress): boolean {
    return this.#facts.admin === placeOf(bind);
  }

  /** Has it give up its admin address and hand its state over; resolves with the first, or after 2 s. */
  async begin(): Promise<void> {
    this.#begunAtMs = performance.now();
    this.#conversation.say("begin");
    await this.#conversation.hear(this.#untilMs);
  }

  /** Its state, as far as it has come 2 s after `begin`. */
  async inherit(): Promise<Inheritance> {
    const reader = new StateReader();
    try {
      for (let line = await this.#hear(); line !== null; line = await this.#hear()) {
        reader.take(line);
        if (line === END_OF_STATE) return { records: reader.finish(), lacks: null };
      }
    } catch (error) {
      return { records: reader.records, lacks: error instanceof Error ? error.message : String(error) };
    }
    return { records: reader.records, lacks: "it did not come in time" };
  }

  /**
   * Throws FatalError (exit code 71) where it waits for this process no longer, or not for long, and goes on: this
   * one had hung. Where that one itself hangs or is gone, it is replaced all the same.
   */
  async assertWaiting(): Promise<void> {
    if (performance.now() < this.#untilMs && !this.#conversation.isOver) return;
    const untilMs = performance.now() + LAST_WORDS_MS;
    let line: string | null = "";
    while (line !== null) line = await this.#conversation.hear(untilMs);
    if (!this.#conversation.isOver && !this.#isLateAt(performance.now())) return;
    if (await isServed(this.#socketPath)) throw this.#tooLate();
    this.#isGone = true;
  }

  /**
   * This process serves in its place: it drains. Throws FatalError (exit code 71) where it has given this one up
   * since `assertWaiting`. At its path is this process by now: only the time tells that from its end.
   */
  async dismiss(): Promise<void> {
    const isTold = await this.#conversation.sayLast("done");
    const endedAtMs = this.#conversation.endedAtMs ?? performance.now();
    if (!isTold && !this.#isGone && this.#isLateAt(endedAtMs)) throw this.#tooLate();
  }

  /** It goes on as before. */
  leaveAlone(): void {
    this.#conversation.destroy();
  }

  #isLateAt(nowMs: number): boolean {
    return nowMs > this.#begunAtMs + MAX_HAND_OVER_MS;
  }

  #tooLate(): FatalError {
    return new FatalError(
      `too late: the Weir with pid ${this.pid} did not wait to be replaced, and goes on`,
      ExitCode.cannotBind,
    );
  }

  get #untilMs(): number {
    return this.#begunAtMs + PATIENCE_MS;
  }

  #hear(): Promise<string | null> {
    return this.#conversation.hear(this.#untilMs);
  }
}

function nobody(reason: string): Nobody {
  return { predecessor: null, reason };
}

/** A port, whatever the host: one process's addresses may be written in several ways. */
function placeOf(bind: BindAddress): number | string {
  return bind.kind === "unix" ? bind.path : bind.port;
}

async function connect(path: string): Promise<net.Socket | null> {
  return await new Promise((resolve) => {
    const socket = net.connect({ path });
    socket.once("connect", () => resolve(socket));
    socket.once("error", () => resolve(null));
  });
}
