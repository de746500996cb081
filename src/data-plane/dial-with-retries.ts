// Dials the granted backend and, where that fails before the client has heard anything, others.

import type { IncomingMessage } from "node:http";
import type { RouteConfig } from "../config/schema.ts";
import { Refusal } from "../errors.ts";
import type { FailureKind, Grant } from "../shared-memory/channel.ts";
import { answerForDropping, offerForDropping } from "../ws/extensions.ts";
import { joinedHeader } from "../ws/handshake.ts";
import type { AdmissionDesk } from "./admission-desk.ts";
import type { Passport } from "./credentials/credentials.ts";
import { backendHeaders, backendPath } from "./backend-headers.ts";
import { mayDrop } from "./connection-limits.ts";
import { Dial, type DialResult } from "./dial.ts";
import { faultOf } from "./dial-failure.ts";
import type { DialTarget } from "./dial-target.ts";
import type { Client } from "./identify.ts";
import type { PendingClient } from "./pending-client.ts";
import { proxyHeaderFor } from "./proxy-header-out.ts";
import type { Reporter } from "./reporter.ts";
import { isSecure } from "./secure-socket.ts";
import type { Settings } from "./settings.ts";

/** Statuses that say of the backend, not of the request, that it cannot be served. */
const UNAVAILABLE: ReadonlySet<number | undefined> = new Set([502, 503, 504]);

/** An upgrade that has its grant. */
export interface AdmittedUpgrade {
  readonly request: IncomingMessage;
  readonly pending: PendingClient;
  readonly settings: Settings;
  /** What of the request goes on. */
  readonly passport: Passport;
  readonly route: RouteConfig;
  readonly client: Client;
  readonly requestId: string;
  /** Port that the client reached us on; 0 for a Unix socket. */
  readonly localPort: number;
}

/** What the last dial came to, and the grant it was made with. */
export type Dialed = DialResult & { readonly grant: Grant };

/**
 * Throws Refusal: `backend_failed` or `backend_timeout` when no try succeeded, `client_gone` when the
 * client left, `no_backend` when this thread does not know the backend and there is no other.
 */
export async function dialWithRetries(
  context: { readonly desk: AdmissionDesk; readonly reporter: Reporter },
  upgrade: AdmittedUpgrade,
  first: Grant,
): Promise<Dialed> {
  const doubts = new Doubts(context.reporter, upgrade.client.network);
  try {
    return await dialInTurn(context, upgrade, first, doubts);
  } finally {
    doubts.settle();
  }
}

async function dialInTurn(
  context: { readonly desk: AdmissionDesk; readonly reporter: Reporter },
  upgrade: AdmittedUpgrade,
  first: Grant,
  doubts: Doubts,
): Promise<Dialed> {
  let grant = first;
  for (;;) {
    upgrade.pending.assertPresent();
    const target = upgrade.settings.target(grant.pool, grant.target);
    const outcome = await dialOnce(upgrade, target, grant.addresses);
    const failure = outcome instanceof Refusal ? outcome : refusalOf(outcome);
    doubts.add(grant, faultIn(outcome));
    if (failure === null || !mayRetry(failure, outcome, target)) {
      if (outcome instanceof Refusal) throw outcome;
      return { ...outcome, grant };
    }
    const other = await context.desk.exchange(grant, failure.code).catch(() => null);
    if (other === null) {
      if (outcome instanceof Refusal) throw outcome;
      return { ...outcome, grant };
    }
    if (!(outcome instanceof Refusal) && outcome.kind === "answered") outcome.response.destroy();
    context.reporter.dialRetried(grant, failure);
    grant = other;
  }
}

/**
 * Whom to blame for the dials of one upgrade. A connect that fails is the backend's doing. What a client can
 * provoke is so where only one backend met it; where all did, it was the request.
 */
class Doubts {
  readonly #reporter: Reporter;
  readonly #network: string;
  readonly #provocable: { readonly grant: Grant; readonly fault: FailureKind }[] = [];
  #dials = 0;

  constructor(reporter: Reporter, network: string) {
    this.#reporter = reporter;
    this.#network = network;
  }

  /** @param fault null where the dial went well, or the backend is not to blame */
  add(grant: Grant, fault: FailureKind | null): void {
    this.#dials += 1;
    if (fault === "connect") this.#reporter.backendFailed(grant, fault, this.#network);
    else if (fault !== null) this.#provocable.push({ grant, fault });
  }

  settle(): void {
    const isRequestsOwn = this.#dials > 1 && this.#provocable.length === this.#dials;
    if (isRequestsOwn) return;
    for (const { grant, fault } of this.#provocable)
      this.#reporter.backendFailed(grant, fault, this.#network);
  }
}

/** A refusal is returned, not thrown: it may not be the last word. */
async function dialOnce(
  upgrade: AdmittedUpgrade,
  target: DialTarget | undefined,
  addresses: Grant["addresses"],
): Promise<DialResult | Refusal> {
  if (target === undefined) return new Refusal("no_backend");
  const { pending, settings, route, client } = upgrade;
  const { rawHeaders, target: requestTarget } = upgrade.passport;
  const headers = backendHeaders({
    rawHeaders,
    client,
    route,
    target: requestTarget,
    dialTarget: target,
    isSecure: isSecure(pending.socket),
    localPort: upgrade.localPort,
    trustedHeaders: settings.trustedHeaders,
    ownCookies: settings.affinityCookies,
    requestId: upgrade.requestId,
  });
  headers.push("Connection", "Upgrade", "Upgrade", "websocket");
  const offer = joinedHeader(rawHeaders, "sec-websocket-extensions");
  const isDropping = mayDrop(client.tier, route.id, settings);
  const offeredExtensions = isDropping ? offerForDropping(offer) : offer;
  if (isDropping) replaceHeader(headers, "Sec-WebSocket-Extensions", offeredExtensions);
  const dial = new Dial({
    target,
    addresses,
    proxyHeader: proxyHeaderFor(target, client, pending.socket),
    path: backendPath(route, requestTarget, target),
    headers,
    key: joinedHeader(rawHeaders, "sec-websocket-key") ?? "",
    offeredProtocols: joinedHeader(rawHeaders, "sec-websocket-protocol"),
    offeredExtensions,
    answerExtensions: isDropping ? answerForDropping : null,
    handshakeTimeoutMs: settings.config.timeouts.backendHandshake,
    maxHeaderSize: settings.config.limits.maxHeaderSize,
  });
  pending.onLeave(() => dial.abort());
  try {
    return await dial.result;
  } catch (error) {
    if (error instanceof Refusal) return error;
    throw error;
  } finally {
    pending.onLeave(null);
  }
}

/** An answer other than 101 as a failure that another backend may mend; null for a 101. */
function refusalOf(result: DialResult): Refusal | null {
  return result.kind === "switched" ? null : new Refusal("backend_refused");
}

/** What the backend is to blame for; null where it is not. */
function faultIn(outcome: DialResult | Refusal): FailureKind | null {
  if (outcome instanceof Refusal) return faultOf(outcome);
  if (outcome.kind === "switched") return null;
  return UNAVAILABLE.has(outcome.response.statusCode) ? "status" : null;
}

function mayRetry(failure: Refusal, outcome: DialResult | Refusal, target: DialTarget | undefined): boolean {
  // Nothing was dialled: this thread was started amid a reload, and other backends may be known to it.
  if (target === undefined) return true;
  const { pool } = target;
  if (!failure.retryable) return false;
  if (failure.code === "backend_failed") return pool.retryOn.includes("connect");
  if (failure.code === "backend_timeout") return pool.retryOn.includes("timeout");
  if (outcome instanceof Refusal || outcome.kind !== "answered") return false;
  return pool.retryOn.includes(outcome.response.statusCode ?? 0);
}

/** Undefined takes the header out. */
function replaceHeader(headers: string[], name: string, value: string | undefined): void {
  for (let i = headers.length - 2; i >= 0; i -= 2) {
    if (headers[i]?.toLowerCase() === name.toLowerCase()) headers.splice(i, 2);
  }
  if (value !== undefined) headers.push(name, value);
}
