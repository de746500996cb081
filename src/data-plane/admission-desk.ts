// The data plane's end of admission: asks the control plane for grants and gives them back.

import type { Socket } from "node:net";
import { Refusal, type ErrorCode } from "../errors.ts";
import type { AdmitRequest, Channel, ConnectionSummary, Grant, ToControl } from "../shared-memory/channel.ts";
import type { PendingClient } from "./pending-client.ts";

interface Waiting {
  granted(grant: Grant): void;
  refused(code: ErrorCode): void;
}

export class AdmissionDesk {
  readonly #channel: Channel<ToControl>;
  readonly #waiting = new Map<number, Waiting>();
  readonly #verdicts = new Map<number, (isSo: boolean) => void>();
  #nextId = 1;

  constructor(channel: Channel<ToControl>) {
    this.#channel = channel;
  }

  /**
   * A place for one connection or request. Throws Refusal where there is none, and `client_gone` once
   * the client leaves the line.
   */
  async admit(request: Omit<AdmitRequest, "id">, client: PendingClient | null): Promise<Grant> {
    const id = this.#nextId++;
    const granted = this.#ask(id, { type: "admit", request: { id, ...request } });
    client?.onLeave(() => this.#giveUp(id));
    try {
      return await granted;
    } finally {
      client?.onLeave(null);
    }
  }

  /**
   * Holds a place of a client's address for as long as the socket is open. Throws Refusal `address_limited`.
   * @param address as `ipUser` spells it
   */
  async enter(address: string, socket: Socket): Promise<void> {
    if (socket.destroyed) throw new Refusal("client_gone");
    const id = this.#nextId++;
    // However the upgrade or the connection ends, its socket is closed then.
    socket.once("close", () => this.#channel.post({ type: "leave", id }));
    if (!(await this.#verdict({ type: "enter", id, address }))) throw new Refusal("address_limited");
  }

  /** What `/readyz` would say. */
  isReady(pool: string | null): Promise<boolean> {
    return this.#verdict({ type: "ask-readiness", id: this.#nextId++, pool });
  }

  /**
   * Trades a grant whose dial failed for one on another backend. Where there is no other, throws
   * the failure again; the grant at hand is still held then.
   */
  exchange(grant: Grant, failure: ErrorCode): Promise<Grant> {
    return this.#ask(grant.id, { type: "exchange", id: grant.id, failure });
  }

  opened(grant: Grant, handshakeMs: number): void {
    this.#channel.postUnhurried({ type: "opened", id: grant.id, handshakeMs });
  }

  /** It is about to end for its age. */
  aged(grant: Grant): void {
    this.#channel.post({ type: "aged", id: grant.id });
  }

  /** @param summary null where the connection never opened */
  release(grant: Grant, summary: ConnectionSummary | null): void {
    // Whoever was let go may be back at once, on another thread: its place must be free by then.
    this.#channel.post({ type: "release", id: grant.id, summary });
  }

  onVerdict(id: number, isSo: boolean): void {
    this.#verdicts.get(id)?.(isSo);
    this.#verdicts.delete(id);
  }

  onGranted(grant: Grant): void {
    this.#take(grant.id)?.granted(grant);
  }

  onRefused(id: number, code: ErrorCode): void {
    this.#take(id)?.refused(code);
  }

  #verdict(question: Extract<ToControl, { type: "enter" | "ask-readiness" }>): Promise<boolean> {
    return new Promise((resolve) => {
      this.#verdicts.set(question.id, resolve);
      this.#channel.post(question);
    });
  }

  #ask(id: number, question: ToControl): Promise<Grant> {
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { granted: resolve, refused: (code) => reject(new Refusal(code)) });
      this.#channel.post(question);
    });
  }

  /** A grant that crosses this on its way is taken back by the same release. */
  #giveUp(id: number): void {
    const waiting = this.#take(id);
    if (waiting === undefined) return;
    this.#channel.post({ type: "release", id, summary: null });
    waiting.refused("client_gone");
  }

  #take(id: number): Waiting | undefined {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    return waiting;
  }
}
