// Many clients that stay and say nothing, or that come and go at a steady pace: `crowd.ts`. A process of its own.

import type { CrowdCommand, CrowdReport } from "./commands.ts";
import { CrowdMember, type MemberEvents } from "./crowd-member.ts";
import { serve } from "./serve.ts";

/** So that no accept queue overflows. */
const OPENING_AT_ONCE = 64;
const PACE_MS = 10;
/** A proxy that does not keep up is not asked for more: what is looked for is not an overflow. */
const PASSING_AT_ONCE = 200;
const GOING_AWAY = 1001;

class Crowd {
  readonly #members = new Set<CrowdMember>();
  #pings = 0;
  #opened = 0;
  #failures = 0;
  #firstFailure = "";
  #lost = 0;
  #goodbyesAtMs: number[] = [];
  #pacing: NodeJS.Timeout | null = null;
  /** Called when one of them was opened, or is gone. */
  #onChange: (() => void) | null = null;

  async execute(command: CrowdCommand): Promise<CrowdReport> {
    switch (command.kind) {
      case "gather":
        await this.#gather(command.port, command.clients);
        break;
      case "pass":
        this.#pass(command.port, command.perSecond);
        break;
      case "end":
        await this.#end();
        break;
      case "look":
        break;
    }
    return {
      present: this.#members.size,
      opened: this.#opened,
      pings: this.#pings,
      failures: this.#failures,
      firstFailure: this.#firstFailure,
      lost: this.#lost,
      goodbyesAtMs: this.#goodbyesAtMs,
    };
  }

  async #gather(port: number, clients: number): Promise<void> {
    const events = this.#events(() => {});
    const until = this.#opened + this.#failures + clients;
    let begun = this.#opened + this.#failures;
    const { promise, resolve } = Promise.withResolvers<void>();
    const begin = (): void => {
      const done = this.#opened + this.#failures;
      while (begun < until && begun - done < OPENING_AT_ONCE) {
        begun++;
        this.#members.add(new CrowdMember(port, events));
      }
      if (done >= until) resolve();
    };
    this.#onChange = begin;
    begin();
    await promise;
    this.#onChange = null;
  }

  /** Each leaves as soon as it is let in. */
  #pass(port: number, perSecond: number): void {
    const events = this.#events((member) => member.leave());
    let due = 0;
    let pacedAtMs = performance.now();
    this.#pacing = setInterval(() => {
      const nowMs = performance.now();
      due = Math.min(due + ((nowMs - pacedAtMs) * perSecond) / 1000, PASSING_AT_ONCE);
      pacedAtMs = nowMs;
      for (; due >= 1 && this.#members.size < PASSING_AT_ONCE; due--) {
        this.#members.add(new CrowdMember(port, events));
      }
    }, PACE_MS);
  }

  /** Begins nothing more, and waits for what has begun. */
  async #end(): Promise<void> {
    if (this.#pacing !== null) clearInterval(this.#pacing);
    this.#pacing = null;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#onChange = () => {
      if (this.#members.size === 0) resolve();
    };
    this.#onChange();
    await promise;
    this.#onChange = null;
  }

  #events(opened: (member: CrowdMember) => void): MemberEvents {
    return {
      onOpen: (member) => {
        this.#opened++;
        opened(member);
        this.#onChange?.();
      },
      onPing: () => this.#pings++,
      onGone: (member, code, failure) => {
        this.#members.delete(member);
        if (failure !== null) {
          this.#failures++;
          this.#firstFailure ||= failure;
        } else if (code === GOING_AWAY) this.#goodbyesAtMs.push(performance.now());
        else if (code === 1006) this.#lost++;
        this.#onChange?.();
      },
    };
  }
}

const crowd = new Crowd();

serve<CrowdCommand, CrowdReport>((command) => crowd.execute(command));
