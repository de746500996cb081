// A health endpoint whose answers a test gives one by one, so that it knows what Weir has heard; and two
// backends of which one is checked by it.
import { type EchoBackend, startEchoBackend } from "./echo-backend.ts";
import { ownHost } from "./own-host.ts";
import type { RawConnection } from "./raw-connection.ts";
import { neverAnswer, type ScriptedBackend, startScriptedBackend } from "./scripted-backend.ts";
import { startInFrontOf } from "./start-in-front.ts";
import type { StartedWeir } from "./start-weir.ts";

/** A status, or what is no answer. */
export type HealthAnswer = number | "garbage" | "reset";

type Section = Readonly<Record<string, unknown>>;

export class HealthEndpoint {
  readonly port: number;
  readonly #server: ScriptedBackend;
  #answered = 0;

  constructor(server: ScriptedBackend) {
    this.#server = server;
    this.port = Number(new URL(server.url).port);
  }

  /** The check that waits for its answer; checks of one backend come one after another. */
  check(): Promise<RawConnection> {
    return this.#server.connection(this.#answered);
  }

  /**
   * Answers as many checks in a row, and returns when the check after them has come: Weir knows the answers
   * by then, and nothing happens until that one has its own.
   */
  async answer(...answers: readonly HealthAnswer[]): Promise<void> {
    for (const answer of answers) {
      const check = await this.check();
      await check.readHead();
      this.#answered += 1;
      if (answer === "reset") check.reset();
      else if (answer === "garbage") await check.write("\x00 not http at all\r\n\r\n");
      else await check.write(`HTTP/1.1 ${answer} Scripted\r\nContent-Length: 0\r\n\r\n`);
      await this.check();
    }
  }
}

interface CheckedOptions {
  readonly healthCheck?: Section;
  /** Keys of the pool `chat`. */
  readonly pool?: Section;
  /** Keys of the configuration. */
  readonly config?: Section;
}

interface Checked {
  readonly weir: StartedWeir;
  /** What is asked whether `a` is well; nobody has answered it yet. */
  readonly endpoint: HealthEndpoint;
  readonly a: EchoBackend;
  /** Always well. */
  readonly b: EchoBackend;
}

/** Weir in front of `a` and `b`. */
export async function startChecked(options: CheckedOptions = {}): Promise<Checked> {
  const endpoint = new HealthEndpoint(await startScriptedBackend(neverAnswer(), { host: ownHost }));
  const a = await startEchoBackend({ id: "a", host: ownHost });
  // Its health is asked for on the same port, but of its own address: any plain request is well with it.
  const b = await startEchoBackend({ id: "b", host: "127.0.0.2", port: endpoint.port });
  const healthCheck = {
    type: "http",
    port: endpoint.port,
    interval: "100ms",
    // A check waits for the test as long as it takes.
    timeout: "60s",
    healthyAfter: 1,
    unhealthyAfter: 1,
    ...options.healthCheck,
  };
  const weir = await startInFrontOf(
    [a, b].map(({ id, url }) => ({ id, url })),
    { pool: { healthCheck, ...options.pool }, ...(options.config && { config: options.config }) },
  );
  return { weir, endpoint, a, b };
}
