// Questions to the data-plane threads, and their answers. A thread that is gone, or too busy to answer in time,
// has none to give: whoever asks goes on without it.

import type { Answer, Question } from "../shared-memory/questions.ts";
import type { Thread } from "./thread.ts";

const DEADLINE_MS = 2_000;

/** Who asks what happened is told what there is, rather than made to wait for a thread that hangs. */
const NEWS_DEADLINE_MS = 100;

interface Asked {
  readonly thread: number;
  readonly timer: NodeJS.Timeout;
  readonly resolve: (answer: Answer | null) => void;
}

export class Questions {
  readonly #asked = new Map<number, Asked>();
  #nextId = 1;

  /** Null where the thread does not answer in time. */
  ask(thread: Thread, question: Question, deadlineMs: number = DEADLINE_MS): Promise<Answer | null> {
    const id = this.#nextId++;
    const { promise, resolve } = Promise.withResolvers<Answer | null>();
    const timer = setTimeout(() => this.onAnswer(id, null), deadlineMs);
    this.#asked.set(id, { thread: thread.serial, timer, resolve });
    thread.channel.post({ type: "question", id, question });
    return promise;
  }

  /**
   * Resolves when the threads have done what they were told before, and all that they have to tell has come;
   * for those that hang it does not wait.
   */
  async catchUp(threads: Iterable<Thread>): Promise<void> {
    const question = { kind: "news" } as const;
    await Promise.all(Array.from(threads, (thread) => this.ask(thread, question, NEWS_DEADLINE_MS)));
  }

  onAnswer(id: number, answer: Answer | null): void {
    const asked = this.#asked.get(id);
    if (asked === undefined) return;
    this.#asked.delete(id);
    clearTimeout(asked.timer);
    asked.resolve(answer);
  }

  onDeath({ serial }: Thread): void {
    for (const [id, { thread }] of this.#asked) if (thread === serial) this.onAnswer(id, null);
  }
}
