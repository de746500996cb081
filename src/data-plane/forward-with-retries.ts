// Gives a plain request its backend and, where that one cannot be connected, others.

import type { IncomingMessage, ServerResponse } from "node:http";
import type { RouteConfig } from "../config/schema.ts";
import { Refusal } from "../errors.ts";
import type { AdmitRequest } from "../shared-memory/channel.ts";
import type { AdmissionDesk } from "./admission-desk.ts";
import { affinityCookie, affinitySetCookie } from "./affinity-cookie.ts";
import type { Passport } from "./credentials/credentials.ts";
import { backendHeaders, backendPath } from "./backend-headers.ts";
import { faultOf } from "./dial-failure.ts";
import type { DialTarget } from "./dial-target.ts";
import type { Forwarder } from "./forwarder.ts";
import type { Client } from "./identify.ts";
import type { Reporter } from "./reporter.ts";
import { proxyHeaderFor } from "./proxy-header-out.ts";
import { isSecure } from "./secure-socket.ts";
import { localPortOf } from "./socket-ends.ts";
import type { Settings } from "./settings.ts";

/** A plain request that has its route and its client. */
export interface RoutedRequest {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly settings: Settings;
  /** What of the request goes on. */
  readonly passport: Passport;
  readonly route: RouteConfig;
  readonly client: Client;
  readonly requestId: string;
}

/**
 * Resolves once the answer is on its way, or the client is gone.
 * Throws Refusal: admission's, `client_gone`, `no_backend` when this thread does not know the backend and
 * there is no other, or `backend_failed` or `backend_timeout` of the last backend that was asked.
 */
export async function forwardWithRetries(
  context: { readonly desk: AdmissionDesk; readonly reporter: Reporter; readonly forwarder: Forwarder },
  routed: RoutedRequest,
): Promise<void> {
  const { request, response, settings, route, client } = routed;
  const question: Omit<AdmitRequest, "id"> = {
    kind: "request",
    pool: route.pool,
    route: route.id,
    tier: client.tier,
    user: client.user,
    cookie: affinityCookie(request, route.pool, settings.affinityCookies),
    isSharedAddress: client.isSharedAddress,
    network: client.network,
    tried: [],
  };
  const tried: string[] = [];
  let grant = await context.desk.admit(question, null);
  for (;;) {
    if (response.destroyed) throw new Refusal("client_gone");
    const target = settings.target(grant.pool, grant.target);
    const failure =
      target === undefined
        ? new Refusal("no_backend")
        : await context.forwarder.forward({
            request,
            response,
            target,
            addresses: grant.addresses,
            proxyHeader: proxyHeaderFor(target, client, request.socket),
            path: backendPath(route, routed.passport.target, target),
            headers: headersFor(routed, target),
            setCookie: affinitySetCookie(grant, request, client),
          });
    if (failure === null) return;
    const fault = faultOf(failure);
    if (fault !== null) context.reporter.backendFailed(grant, fault, client.network);
    tried.push(grant.backend);
    const mayTryAnother =
      target === undefined || (tried.length <= target.pool.retries && mayRetry(failure, target));
    if (!mayTryAnother) throw failure;
    const other = await context.desk.admit({ ...question, tried: [...tried] }, null).catch(() => null);
    if (other === null) throw failure;
    context.reporter.dialRetried(grant, failure);
    grant = other;
  }
}

function headersFor(routed: RoutedRequest, dialTarget: DialTarget): string[] {
  const { request, settings, passport, route, client, requestId } = routed;
  const { socket } = request;
  return backendHeaders({
    rawHeaders: passport.rawHeaders,
    client,
    route,
    target: passport.target,
    dialTarget,
    isSecure: isSecure(socket),
    localPort: localPortOf(socket),
    trustedHeaders: settings.trustedHeaders,
    ownCookies: settings.affinityCookies,
    requestId,
  });
}

/** A backend that was not connected has seen nothing, whatever the request would have done. */
function mayRetry({ code }: Refusal, { pool }: DialTarget): boolean {
  return pool.retryOn.includes(code === "backend_timeout" ? "timeout" : "connect");
}
