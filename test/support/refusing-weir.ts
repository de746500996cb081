// A Weir that refuses for every reason there is, each asked for by its own path or its own settings: one is
// started, and takes other settings over for what needs them.
import type { ServerResponse } from "node:http";
import { join } from "node:path";
import { writeFile } from "node:fs/promises";

import { type AuthQuestion, type AuthServer, startAuthServer } from "./auth-service.ts";
import { temporaryFolder } from "./cleanup.ts";
import { startEchoBackend } from "./echo-backend.ts";
import { untilMetric } from "./metrics.ts";
import { connectRaw, upgradeRequest, type UpgradeRequestOptions } from "./raw-client.ts";
import type { RawConnection } from "./raw-connection.ts";
import {
  answer,
  neverAnswer,
  resetAt,
  type ScriptedBackend,
  startScriptedBackend,
} from "./scripted-backend.ts";
import { startWeir, type StartedWeir } from "./start-weir.ts";
import { DEFAULT_SECRET } from "./tokens.ts";

type Section = Readonly<Record<string, unknown>>;

/** Keys of sections of the configuration, added to those that are there. */
export type Changes = Readonly<Record<string, Section>>;

type Mode = "http" | "close";

/** Unless it says so itself, each comes from an address and a user of its own. */
interface Asker extends UpgradeRequestOptions {
  readonly address?: string;
  readonly user?: string;
  readonly tier?: string;
}

interface Parts {
  readonly auth: AuthServer;
  readonly silent: ScriptedBackend;
  readonly started: StartedWeir;
  readonly config: Section;
}

export class RefusingWeir {
  readonly auth: AuthServer;
  /** Accepts, reads, and says nothing. */
  readonly silent: ScriptedBackend;
  readonly #started: StartedWeir;
  readonly #config: Section;
  #hasChanges = false;
  #askers = 0;

  private constructor({ auth, silent, started, config }: Parts) {
    this.auth = auth;
    this.silent = silent;
    this.#started = started;
    this.#config = config;
  }

  static async start(mode: Mode): Promise<RefusingWeir> {
    const auth = await startAuthServer(answerByPath);
    const silent = await startScriptedBackend(neverAnswer());
    const config = await configFor(mode, { auth, silent });
    const started = await startWeir(JSON.stringify(config));
    return new RefusingWeir({ auth, silent, started, config });
  }

  /** Takes over what it was started with, and then these settings. */
  async change(changes: Changes | undefined): Promise<void> {
    const { weir } = this.#started;
    if (this.#hasChanges) await weir.reload(this.#config);
    this.#hasChanges = changes !== undefined;
    if (changes === undefined) return;
    const changed = Object.entries(changes).map(([section, keys]) => {
      const usual = this.#config[section] as Section | undefined;
      return [section, { ...usual, ...keys }] as const;
    });
    await weir.reload({ ...this.#config, ...Object.fromEntries(changed) });
  }

  /** Sends these bytes. */
  async send(bytes: string): Promise<RawConnection> {
    const connection = await connectRaw(this.#started.url, { allowHalfOpen: true });
    await connection.write(bytes);
    return connection;
  }

  /** Asks for an upgrade. */
  async ask(path: string, asker: Asker = {}): Promise<RawConnection> {
    return this.send(this.request(path, asker));
  }

  /** Asks for an upgrade, and is served. */
  async open(path = "/", asker: Asker = {}): Promise<RawConnection> {
    const connection = await this.ask(path, asker);
    const { status, raw } = await connection.readHead();
    if (status !== 101) throw new Error(`${path} is not served: ${raw}`);
    return connection;
  }

  request(path: string, { address, user, tier = "free", ...more }: Asker = {}): string {
    this.#askers += 1;
    const lines = [
      `X-Forwarded-For: ${address ?? `198.51.100.${this.#askers}`}`,
      `X-User-Id: ${user ?? `user-${this.#askers}`}`,
      `X-User-Tier: ${tier}`,
      ...(more.lines ?? []),
    ];
    return upgradeRequest({ ...more, path, lines });
  }

  async untilWaiting(queue: string): Promise<void> {
    await untilMetric(this.#started.adminUrl, 1, "weir_queue_length", { queue });
  }

  async ban(user: string): Promise<void> {
    const ban = { method: "PUT", body: JSON.stringify({ for: "1h" }) };
    const { status } = await fetch(`${this.#started.adminUrl}/api/users/${user}/ban`, ban);
    if (status !== 200) throw new Error(`the ban is answered ${status}`);
  }

  /** Begins to drain, which ends with the connections, after the test. */
  async drain(): Promise<void> {
    void this.#started.weir.drain();
    await this.untilLogged("the drain", ({ message }) => message === "draining");
  }

  async untilLogged(...entry: Parameters<StartedWeir["log"]["entry"]>): Promise<void> {
    await this.#started.log.entry(...entry);
  }
}

/** Keys of `identity.forwardAuth`: who shows a cookie is asked about. */
export function asks(authUrl: string): Section {
  return { url: `${authUrl}/ws`, copyHeaders: ["cookie"] };
}

/** As the path of the upgrade, or of the keys, says. */
function answerByPath(response: ServerResponse, { url, headers }: AuthQuestion): void {
  if (url === "/keys") response.writeHead(500).end();
  else if (headers["x-forwarded-uri"] === "/asks/forbidden")
    response.writeHead(403).end('{"error":"forbidden"}');
  else if (headers["x-forwarded-uri"] !== "/asks/slow") response.writeHead(204).end();
}

async function configFor(mode: Mode, { auth, silent }: Pick<Parts, "auth" | "silent">): Promise<Section> {
  const echo = await startEchoBackend();
  const [resetting, refusing] = await Promise.all([
    startScriptedBackend(resetAt("head")),
    startScriptedBackend(answer({ status: 418, body: '{"error":"the backend\'s own"}' })),
  ]);
  const backendsFile = join(await temporaryFolder(), "backends.yaml");
  await writeFile(backendsFile, "[]");
  const plain = { healthCheck: "off", affinity: "off", outlier: "off" };
  const full = { ...plain, backends: [{ url: echo.url, capacity: 1 }] };
  const route = (path: string, keys: Section = {}): Section => ({
    match: { path },
    pool: "echo",
    auth: "off",
    ...keys,
  });
  return {
    threads: 1,
    listeners: ["127.0.0.1:0"],
    admin: { bind: "127.0.0.1:0" },
    // The patience proves that every end is a closing handshake's, not a timer's.
    timeouts: { ping: "off", close: "60s" },
    identity: {
      user: [{ header: "x-user-id" }],
      tier: [{ header: "x-user-tier" }],
      jwt: { secret: DEFAULT_SECRET },
      forwardAuth: { ...asks(auth.url), timeout: "60s" },
    },
    tiers: {
      free: { priority: "low", default: true },
      full: { maxConnections: 1 },
      single: { maxConnectionsPerUser: 1 },
    },
    limits: { rejectWith: mode, perAddress: { connections: 1 } },
    routes: [
      route("/denied", { deny: ["192.0.2.0/24"] }),
      route("/page", { origins: ["https://app.example"] }),
      route("/token", { auth: "required", origins: ["https://app.example"] }),
      route("/asks/*", { auth: "optional" }),
      route("/requests", { requests: { rate: "1/h", burst: 1 } }),
      route("/upgrades", { http: "reject" }),
      ...["full", "queue", "short-queue", "empty", "resetting", "silent", "refusing"].map((pool) =>
        route(`/${pool}`, { pool }),
      ),
      route("/"),
    ],
    pools: {
      echo: { ...plain, backends: [echo.url] },
      full,
      queue: { ...full, queue: { size: 1, timeout: "60s" } },
      "short-queue": { ...full, queue: { size: 1, timeout: "50ms" } },
      empty: { ...plain, backendsFile },
      resetting: { ...plain, backends: [resetting.url] },
      silent: { ...plain, backends: [silent.url] },
      refusing: { ...plain, backends: [refusing.url] },
    },
  };
}
