// What would become of a request that nobody has sent, up to the point where it asks to be let in: parsed by
// the same parser and judged by the same functions as every other. Nobody is dialled or asked for it, and
// nothing of it is logged or counted.

import http, { type IncomingMessage } from "node:http";
import { Duplex } from "node:stream";
import { Refusal } from "../errors.ts";
import type { AdmitRequest } from "../shared-memory/channel.ts";
import type { AskedRequest, ExplainedRefusal, RequestExplanation } from "../shared-memory/explanation.ts";
import { isWebSocketUpgrade, joinedHeader } from "../ws/handshake.ts";
import { affinityCookie } from "./affinity-cookie.ts";
import { AddressRules } from "./client-address.ts";
import { parseRequest } from "./http.ts";
import { type Client, type ClientPlace, identify, locate } from "./identify.ts";
import type { NamedSource } from "./identity-sources.ts";
import type { Settings } from "./settings.ts";
import { isOriginAllowed, parseUpgrade } from "./upgrade.ts";

interface Parsed {
  readonly request: IncomingMessage;
  readonly isUpgrade: boolean;
}

const NOTHING: RequestExplanation = {
  refusal: null,
  target: null,
  route: null,
  client: null,
  unasked: [],
  admit: null,
};

export async function explain(asked: AskedRequest, settings: Settings): Promise<RequestExplanation> {
  let known = NOTHING;
  try {
    const { request, isUpgrade } = await parse(asked, settings.config.limits.maxHeaderSize);
    const target = isUpgrade ? parseUpgrade(request) : parseRequest(request);
    known = { ...known, target: { host: target.host, path: target.path } };
    const place = locate(request, { remoteAddress: asked.peer || undefined }, settings);
    known = { ...known, unasked: atListeners(place, isUpgrade, settings) };
    const route = settings.routes.match(target);
    const { id, pool, auth, match } = route;
    known = { ...known, route: { id, host: match.host, path: match.path, pool, auth } };
    if (isDenied(settings.access.get(id), place)) throw denied(place);
    if (isUpgrade && !isOriginAllowed({ request, target, route, settings })) {
      throw new Refusal("origin_not_allowed");
    }
    if (!isUpgrade && route.http === "reject") throw new Refusal("http_rejected");
    const { unasked, ...proof } = await settings.credentials.foresee({ request, route });
    const client = identify(request, place, settings, proof);
    known = {
      ...known,
      unasked: [...known.unasked, ...unasked, ...unshown(settings)],
      client: explainClient(client, request, settings),
    };
    return { ...known, admit: admitRequest(client, { request, isUpgrade }, route, settings) };
  } catch (error) {
    const refusal = error instanceof Refusal ? error : new Refusal("internal", { cause: error });
    return { ...known, refusal: explainRefusal(refusal) };
  }
}

/**
 * Which listener it would come to is not said, only what would become of it there. Throws Refusal
 * `address_denied` where none lets it in.
 */
function atListeners(place: ClientPlace, isUpgrade: boolean, { config }: Settings): string[] {
  const denying = config.listeners.filter((listener) => isDenied(new AddressRules(listener), place));
  if (denying.length === config.listeners.length) throw denied(place);
  return [
    ...denying.map(({ bind }) => `the listener ${bind.text}, which does not let this address in`),
    ...(isUpgrade && config.limits.perAddress !== null
      ? ["limits.perAddress, of which this address may have used its share"]
      : []),
  ];
}

function isDenied(rules: AddressRules | undefined, { address }: ClientPlace): boolean {
  try {
    rules?.check(address);
    return false;
  } catch (error) {
    if (error instanceof Refusal) return true;
    throw error;
  }
}

function denied({ address }: ClientPlace): Refusal {
  return new Refusal("address_denied", { message: `clients of this address (${address}) are not let in` });
}

/** What a client could show, and a question cannot. */
function unshown({ config: { identity } }: Settings): string[] {
  const isAsked = [...identity.user, ...identity.tier].some(({ kind }) => kind === "certificate");
  return isAsked ? ["a client certificate, which a question cannot show; it may name user and tier"] : [];
}

function admitRequest(
  { user, tier, isSharedAddress, network }: Client,
  { request, isUpgrade }: Parsed,
  { id, pool }: { readonly id: string; readonly pool: string },
  settings: Settings,
): AdmitRequest {
  return {
    id: 0,
    kind: isUpgrade ? "connection" : "request",
    pool,
    route: id,
    tier,
    user,
    cookie: affinityCookie(request, pool, settings.affinityCookies),
    isSharedAddress,
    network,
    tried: [],
  };
}

function explainClient(
  client: Client,
  { rawHeaders }: IncomingMessage,
  { config }: Settings,
): NonNullable<RequestExplanation["client"]> {
  const { peer, isPeerTrusted, address, user, tier, isSharedAddress } = client;
  const hasHeader = joinedHeader(rawHeaders, config.clientIpHeader) !== undefined;
  return {
    peer,
    isPeerTrusted,
    address,
    addressFrom: isPeerTrusted && hasHeader && address !== peer ? config.clientIpHeader : "peer",
    isHeaderIgnored: hasHeader && !isPeerTrusted,
    user,
    userFrom: client.userSource === null ? "ip" : sourceText(client.userSource),
    tier,
    tierFrom: client.tierSource === null ? "default" : sourceText(client.tierSource),
    isSharedAddress,
  };
}

function sourceText({ kind, name }: NamedSource): string {
  return name === "" ? kind : `${kind} ${name}`;
}

function explainRefusal({ code, status, closeCode, message }: Refusal): ExplainedRefusal {
  return { code, status, closeCode, message };
}

/** Throws Refusal for what is no request, or too large a one. */
async function parse({ headLines }: AskedRequest, maxHeaderSize: number): Promise<Parsed> {
  const { promise, resolve, reject } = Promise.withResolvers<Parsed>();
  const server = http.createServer({
    maxHeaderSize,
    requireHostHeader: false,
    shouldUpgradeCallback: (request) => isWebSocketUpgrade(request),
  });
  // As a listener has it: `checkHead` looks at all lines.
  server.maxHeadersCount = 0;
  server.on("upgrade", (request: IncomingMessage) => resolve({ request, isUpgrade: true }));
  server.on("request", (request) => resolve({ request, isUpgrade: false }));
  server.on("connect", () => reject(new Refusal("bad_request", { message: "CONNECT is not served" })));
  server.on("checkExpectation", () =>
    reject(new Refusal("bad_request", { message: "Node answers its Expect with 417" })),
  );
  server.on("clientError", (error: NodeJS.ErrnoException) => {
    const isLarge = error.code === "HPE_HEADER_OVERFLOW";
    reject(new Refusal(isLarge ? "head_too_large" : "bad_request", { cause: error }));
  });
  // What is answered goes nowhere.
  const stream = new Duplex({ read: () => {}, write: (_, __, done) => done() });
  stream.on("error", () => {});
  server.emit("connection", stream);
  stream.push(Buffer.from(`${headLines.join("\r\n")}\r\n\r\n`));
  try {
    return await promise;
  } finally {
    stream.destroy();
  }
}
