// Weir's own life: the `timeouts`, `shutdown`, `reload`, `state`, `admin`, `log` and `alerts` sections.

import { isIPv6 } from "node:net";
import { z } from "zod";
import { AddressError, isHostName } from "./addresses.ts";
import type { BindAddress } from "./schema-listeners.ts";
import {
  bindAddress,
  duration,
  filePath,
  httpUrl,
  isNot,
  offOr,
  onOff,
  parsed,
  percent,
  text,
} from "./schema-values.ts";
import { describeValue } from "./units.ts";

export interface PingConfig {
  /** Milliseconds. */
  readonly interval: number;
  /** Milliseconds. */
  readonly timeout: number;
}

interface MaxConnectionAgeConfig {
  /** Milliseconds. */
  readonly max: number;
  /** Fraction of `max`, 0..1. */
  readonly jitter: number;
}

/** All in milliseconds. */
export interface TimeoutsConfig {
  readonly handshake: number;
  readonly backendHandshake: number;
  readonly idle: number | null;
  readonly ping: PingConfig | null;
  readonly close: number;
  readonly slowConsumer: number | null;
  readonly maxConnectionAge: MaxConnectionAgeConfig | null;
  readonly http: number;
  readonly keepAlive: number;
}

/** All in milliseconds. */
export interface ShutdownConfig {
  readonly readyDelay: number;
  readonly grace: number;
  readonly spread: number;
  readonly timeout: number;
}

export interface ReloadConfig {
  readonly watch: boolean;
  /** Milliseconds without a further change. */
  readonly settle: number;
  /** Fraction of a pool's backends, 0..1. */
  readonly maxRemoved: number;
}

export interface StateConfig {
  /** Absolute. */
  readonly file: string;
}

export interface AdminConfig {
  readonly bind: BindAddress;
  readonly token: string | null;
  /** Lower case names that a request's Host may carry besides loopback ones. */
  readonly hosts: readonly string[];
  readonly anonymous: readonly "metrics"[];
}

export interface LogConfig {
  readonly level: "trace" | "debug" | "info" | "warn" | "error" | "silent";
  readonly format: "json" | "pretty";
  readonly access: boolean;
}

/** A null threshold never alerts. */
export interface AlertsConfig {
  /** Fraction, 0..1. */
  readonly errorRate: number | null;
  /** Milliseconds. */
  readonly roundTrip: number | null;
  /** Fraction of the memory limit, 0..1. */
  readonly memory: number | null;
  /** Milliseconds. */
  readonly eventLoopDelay: number | null;
  readonly webhook: string | null;
}

export const DEFAULT_ADMIN_BIND = "127.0.0.1:9347";

const ping = z.strictObject({
  interval: duration({ min: "100ms" })
    .prefault("30s")
    .describe("Time without a byte from a peer after which Weir pings it, jittered."),
  timeout: duration({ min: "100ms" })
    .prefault("30s")
    .describe("A peer that sends nothing for this long after the ping is dead."),
});

const maxConnectionAge = z.strictObject({
  max: duration({ min: "1s" }).describe("A connection is closed (1012) at this age."),
  jitter: percent()
    .prefault("10%")
    .describe("Spread of that age, so that connections made together do not end together."),
});

export const timeoutsSchema = z
  .strictObject({
    handshake: duration().prefault("10s").describe("The client's whole request head; 408 after that."),
    backendHandshake: duration()
      .prefault("10s")
      .describe("The backend's answer to an upgrade; 504 after that."),
    idle: offOr(duration())
      .prefault("off")
      .describe(
        "Close (1001) a connection without a data or control frame from either peer for this long; Weir's own pings do not count. Not for clients that only listen. Example: 1h.",
      ),
    ping: offOr(ping)
      .prefault({})
      .describe(
        "Weir's own pings to both sides: finds peers that vanished, and measures the round trip. Any byte from the peer is life.",
      ),
    close: duration()
      .prefault("2s")
      .describe("How long the peer's Close is waited for before its socket is destroyed."),
    slowConsumer: offOr(duration())
      .prefault("30s")
      .describe("A peer that reads nothing for this long while data waits for it is cut."),
    maxConnectionAge: offOr(maxConnectionAge)
      .prefault("off")
      .describe(
        "End connections at an age, so that load spreads to new backends. Example: { max: 6h, jitter: 10% }.",
      ),
    http: duration()
      .prefault("2m")
      .describe("A plain HTTP request without a byte in either direction for this long is given up."),
    keepAlive: duration()
      .prefault("75s")
      .describe(
        "How long a socket may stay open between plain HTTP requests. More than that of the load balancer in front.",
      ),
  })
  .prefault({})
  .describe("How long Weir waits.");

export const shutdownSchema = z
  .strictObject({
    readyDelay: duration({})
      .prefault("0s")
      .describe(
        "How long everything is still served after /readyz fails, so that load balancers notice. 5s under Kubernetes.",
      ),
    grace: duration({})
      .prefault("0s")
      .describe("Time for clients to leave after the route's `notices.draining`."),
    spread: duration({})
      .prefault("5s")
      .describe("The closes are spread over this time, at least 50 a second."),
    timeout: duration({ min: "100ms" })
      .prefault("25s")
      .describe("The whole shutdown; what is left then is cut. Less than what the process manager grants."),
  })
  .prefault({})
  .describe("How Weir ends, on SIGTERM and SIGINT.");

export const reloadSchema = z
  .strictObject({
    watch: onOff()
      .prefault("on")
      .describe(
        "Reload when a file changes that the configuration is made of: its own, a `backendsFile`, a secret of `${file:…}`, a certificate or key; off: on SIGHUP and by the API only.",
      ),
    settle: duration({ min: "10ms" })
      .prefault("200ms")
      .describe("How long the files must be left alone before they are read."),
    maxRemoved: percent()
      .prefault("50%")
      .describe(
        "A watched change that removes more of a pool's backends than this waits for SIGHUP or the API.",
      ),
  })
  .prefault({})
  .describe("How changed files are taken over.");

export const stateSchema = offOr(
  z.strictObject({ file: filePath().describe("Where it is kept; written at shutdown and every minute.") }),
)
  .prefault("off")
  .describe(
    "Affinity, bans and hand-set backend states that survive a restart. Example: { file: weir-state.json }.",
  );

/** An IPv6 address has brackets, as in a Host. */
const hostName = parsed(
  (host) => {
    const address = host.replace(/^\[(.*)\]$/, "$1");
    if (isIPv6(address)) return `[${address.toLowerCase()}]`;
    if (!isHostName(host))
      throw new AddressError(`${describeValue(host)} is not a host name (without scheme and port)`);
    return host.toLowerCase();
  },
  isNot("a host name"),
  "host name",
);

const admin = z.strictObject({
  bind: bindAddress
    .prefault(DEFAULT_ADMIN_BIND)
    .describe("Where the admin server listens. Changing it needs a restart."),
  token: offOr(text("secret", 4096))
    .prefault("off")
    .describe(
      'Bearer token that requests must carry; required to bind beyond loopback. Keep it out of the file: "${WEIR_TOKEN}".',
    ),
  hosts: z
    .array(hostName)
    .prefault([])
    .describe(
      "Names and addresses under which the admin server may be asked besides loopback ones (against DNS rebinding).",
    ),
  anonymous: z
    .array(z.enum(["metrics"]))
    .prefault([])
    .describe("What is open without the token: metrics, for scrapers."),
});

export const adminSchema = offOr(admin)
  .prefault({})
  .describe("Health, metrics, API and dashboard, on a port of their own.");

export const logSchema = z
  .strictObject({
    level: z
      .enum(["trace", "debug", "info", "warn", "error", "silent"])
      .prefault("info")
      .describe("Least level that is written."),
    format: z.enum(["json", "pretty"]).prefault("json").describe("json for machines, pretty for people."),
    access: onOff()
      .prefault("on")
      .describe("Lines for each connection, at its start and its end, and for each plain request."),
  })
  .prefault({})
  .describe("The log, on standard output.");

export const alertsSchema = z
  .strictObject({
    errorRate: offOr(percent())
      .prefault("5%")
      .describe(
        "Share of the last minute's upgrades that failed by the backends' or Weir's fault, above which Weir calls itself degraded.",
      ),
    roundTrip: offOr(duration())
      .prefault("1s")
      .describe("Round-trip time of its pings (p99 of backends, median of clients), above which it does."),
    memory: offOr(percent())
      .prefault("80%")
      .describe(
        "Share of the memory limit (the control group's or the machine's; the main thread's heap), above which it does.",
      ),
    eventLoopDelay: offOr(duration())
      .prefault("100ms")
      .describe("Event-loop delay of a thread (p99), above which it does."),
    webhook: offOr(httpUrl)
      .prefault("off")
      .describe(
        "URL that each change of the verdict is posted to, as JSON. Its path may be a secret: it is not logged.",
      ),
  })
  .prefault({})
  .describe("When Weir calls itself degraded or unhealthy.");
