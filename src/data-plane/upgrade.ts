// The path of an upgrade, top to bottom, from the request to a relayed connection. Until `start` this
// file owns both sockets and the grant; after it, the connection does.

import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import type { RouteConfig } from "../config/schema.ts";
import { Refusal } from "../errors.ts";
import type { Grant } from "../shared-memory/channel.ts";
import { checkUpgradeRequest, joinedHeader } from "../ws/handshake.ts";
import type { AdmissionDesk } from "./admission-desk.ts";
import { affinityCookie, affinitySetCookie } from "./affinity-cookie.ts";
import { addressOf } from "./client-address.ts";
import type { ClientSockets } from "./client-sockets.ts";
import type { Connections } from "./connections.ts";
import { dialWithRetries } from "./dial-with-retries.ts";
import { type ClientPlace, identify, locate } from "./identify.ts";
import { ipUser } from "./identity-value.ts";
import type { ListenerSettings } from "./listener-settings.ts";
import { PendingClient } from "./pending-client.ts";
import { refuseByClose } from "./refuse-by-close.ts";
import { passAnswer, refuseUpgrade } from "./refuse.ts";
import type { Reporter, RequestFacts } from "./reporter.ts";
import { checkHead } from "./request-head.ts";
import { requestIdOf } from "./request-id.ts";
import { parseTarget, type RequestTarget } from "./routes.ts";
import { isSecure } from "./secure-socket.ts";
import { proxiedEndsOf } from "./socket-ends.ts";
import type { Settings } from "./settings.ts";
import { withProtocol, writeSwitchingProtocols } from "./switching-protocols.ts";

export interface UpgradeContext {
  readonly settings: () => Settings;
  readonly desk: AdmissionDesk;
  readonly connections: Connections;
  /** Those whose upgrade is under way. */
  readonly pending: Set<PendingClient>;
  readonly reporter: Reporter;
  readonly sockets: Pick<ClientSockets, "onRefused">;
  readonly listener: () => ListenerSettings;
  /** Port of the listener; 0 for a Unix socket. The socket itself would have to ask the system for it. */
  readonly localPort: () => number;
}

/** Carries one upgrade through; whatever comes of it is answered, logged and counted here. */
export async function onUpgrade(
  context: UpgradeContext,
  request: IncomingMessage,
  socket: Socket,
  head: Buffer,
): Promise<void> {
  const { desk, connections, reporter } = context;
  const startedAtMs = performance.now();
  const settings = context.settings();
  const pending = new PendingClient(socket, head);
  context.pending.add(pending);
  /** A backend's own answer is on its way: until the client is gone. */
  let isPassing = false;
  let grant: Grant | null = null;
  const facts: RequestFacts = { pool: null, address: addressOf(socket) };
  try {
    const target = parseUpgrade(request);
    const place = locate(request, socket, settings);
    const requestId = requestIdOf(request, place.isPeerTrusted);
    Object.assign(facts, { address: place.address, requestId });
    context.listener().access.check(place.address);
    if (settings.config.limits.perAddress !== null) await enter(desk, place, socket);
    const route = settings.routes.match(target);
    const { pool } = route;
    Object.assign(facts, { pool, route: route.id });
    settings.access.get(route.id)?.check(place.address);
    checkOrigin({ request, target, route, settings, reporter });
    const localPort = proxiedEndsOf(socket)?.destinationPort ?? context.localPort();
    const passport = await settings.credentials.check({
      request,
      target,
      route,
      client: place,
      isSecure: isSecure(socket),
      localPort,
      requestId,
      onLeave: (callback) => pending.onLeave(callback),
    });
    const client = identify(request, place, settings, passport);
    const { tier, user } = client;
    Object.assign(facts, { user, tier });
    reporter.hints.look(request, pool, client, settings);
    grant = await desk.admit(
      {
        kind: "connection",
        pool,
        route: route.id,
        tier,
        user,
        cookie: affinityCookie(request, pool, settings.affinityCookies),
        isSharedAddress: client.isSharedAddress,
        network: client.network,
        tried: [],
      },
      pending,
    );
    const admitted = {
      request,
      pending,
      settings,
      passport,
      route,
      client,
      requestId,
      localPort,
    };
    const dialed = await dialWithRetries(context, admitted, grant);
    const setCookie = affinitySetCookie(dialed.grant, request, client);
    if (dialed.kind === "answered") {
      if (pending.hasLeft) dialed.response.destroy();
      pending.assertPresent();
      pending.release();
      isPassing = true;
      socket.on("close", () => context.pending.delete(pending));
      const { http } = settings.config.timeouts;
      passAnswer({
        request,
        socket,
        answer: dialed.response,
        setCookie,
        idleTimeoutMs: http,
        onPassed: () => context.sockets.onRefused(socket),
      });
      const status = dialed.response.statusCode ?? 502;
      throw new Refusal("backend_refused", {
        message: `the backend answered the upgrade with ${status}`,
        status,
      });
    }
    writeSwitchingProtocols(socket, withProtocol(dialed.rawHeaders, passport.ownProtocol), setCookie);
    desk.opened(grant, performance.now() - startedAtMs);
    connections.start(admitted, dialed);
  } catch (error) {
    const refusal = error instanceof Refusal ? error : new Refusal("internal", { cause: error });
    if (grant !== null) desk.release(grant, null);
    reporter.upgradeRefused(refusal, request, facts);
    // A backend's own answer is already on its way.
    if (refusal.code === "backend_refused") return;
    const early = pending.release();
    const { limits, timeouts } = settings.config;
    if (limits.rejectWith === "close" && refusal.closeCode !== null && socket.writable) {
      const hasTokenProtocols = settings.credentials.areInProtocols;
      const closeTimeoutMs = timeouts.close;
      refuseByClose({ request, socket, head: early, refusal, closeTimeoutMs, hasTokenProtocols });
    } else {
      refuseUpgrade(request, socket, refusal);
    }
    // However long it may stay yet, it asks for nothing any more.
    context.sockets.onRefused(socket);
  } finally {
    if (!isPassing) context.pending.delete(pending);
  }
}

/** A client on a Unix socket of whom nobody says an address shares none with anyone. */
async function enter(desk: AdmissionDesk, { address }: ClientPlace, socket: Socket): Promise<void> {
  if (address !== "") await desk.enter(ipUser(address), socket);
}

interface RoutedUpgrade {
  readonly request: IncomingMessage;
  readonly target: RequestTarget;
  readonly route: RouteConfig;
  readonly settings: Settings;
}

/** Throws Refusal `origin_not_allowed`. */
function checkOrigin({ reporter, ...upgrade }: RoutedUpgrade & { readonly reporter: Reporter }): void {
  if (isOriginAllowed(upgrade)) return;
  reporter.hints.originRefused(upgrade.route, joinedHeader(upgrade.request.rawHeaders, "origin") ?? "");
  throw new Refusal("origin_not_allowed");
}

export function isOriginAllowed({ request, target, route, settings }: RoutedUpgrade): boolean {
  const { rawHeaders } = request;
  const authority = target.authority ?? joinedHeader(rawHeaders, "host") ?? "";
  return settings.origins.allow(route.id, joinedHeader(rawHeaders, "origin"), authority);
}

/** Throws Refusal `bad_upgrade` (400, or 426 for another version), `bad_request` or `head_too_large`. */
export function parseUpgrade(request: IncomingMessage): RequestTarget {
  checkHead(request);
  const fault = checkUpgradeRequest(request);
  if (fault !== null) throw new Refusal("bad_upgrade", { message: fault.message, status: fault.status });
  return parseTarget(request.url ?? "", joinedHeader(request.rawHeaders, "host") ?? "");
}
