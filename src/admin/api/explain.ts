// `/api/explain`: what would become of a request that nobody has sent. Given as a query, or as a JSON body,
// which no proxy writes into its log.

import net from "node:net";
import { z } from "zod";
import { ERRORS } from "../../errors.ts";
import type { Explainer } from "../../control-plane/explainer.ts";
import type { Foresight } from "../../control-plane/foresight.ts";
import type { AskedRequest, ExplainedRefusal, RequestExplanation } from "../../shared-memory/explanation.ts";
import { checked } from "./checked.ts";
import { ApiError, type ApiAnswer, type Endpoint } from "./endpoint.ts";

export interface ExplainSources {
  readonly explainer: Pick<Explainer, "explain">;
}

export interface Explained extends Omit<RequestExplanation, "admit"> {
  readonly kind: "upgrade" | "request";
  /** Null where it does not come to that. */
  readonly limits: Foresight["limits"] | null;
  readonly pool: Foresight["pool"];
}

type Question = z.infer<typeof question>;

const MAX_HEADERS = 200;

const question = z.strictObject({
  url: z.string().min(1).max(16_384),
  headers: z.array(z.string().max(65_536)).max(MAX_HEADERS).default([]),
  from: z.string().max(100).default("127.0.0.1"),
});

/** What a client library adds by itself; a header that is given takes the place of one of these. */
const UPGRADE_HEADERS = [
  "Upgrade: websocket",
  "Connection: Upgrade",
  "Sec-WebSocket-Version: 13",
  "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
];

const HEADER_LINE = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([^\r\n\0]*)$/;

export function explainEndpoints(sources: ExplainSources): Endpoint[] {
  return [
    {
      method: "GET",
      path: "/api/explain",
      answer: ({ url: { searchParams } }) => {
        const from = searchParams.get("from");
        const asked = { url: searchParams.get("url") ?? undefined, headers: searchParams.getAll("header") };
        return answer(from === null ? asked : { ...asked, from }, sources);
      },
    },
    {
      method: "POST",
      path: "/api/explain",
      answer: async ({ body }) => answer(await body(), sources),
    },
  ];
}

async function answer(given: unknown, { explainer }: ExplainSources): Promise<ApiAnswer> {
  const asked = askedRequest(checked(question, given));
  const explanation = await explainer.explain(asked);
  if (explanation === null) throw new ApiError(503, "unavailable", "no thread has answered in time");
  const { admit, foresight, ...rest } = explanation;
  const body: Explained = {
    ...rest,
    kind: admit === null ? asked.kind : admit.kind === "connection" ? "upgrade" : "request",
    refusal: rest.refusal ?? refusalOf(foresight),
    limits: foresight?.limits ?? null,
    pool: foresight?.pool ?? null,
  };
  return { status: 200, body };
}

function refusalOf(foresight: Foresight | null): ExplainedRefusal | null {
  const code = foresight?.refusal ?? null;
  if (code === null) return null;
  const { status, closeCode, message } = ERRORS[code];
  return { code, status, closeCode, message };
}

/** Throws ApiError. */
function askedRequest({ url, headers, from }: Question): AskedRequest {
  const { isUpgrade, authority, target } = partsOf(url);
  const given = headers.map((line) => headerLine(line));
  const names = new Set(given.map(nameOf));
  const usual = [`Host: ${authority}`, ...(isUpgrade ? UPGRADE_HEADERS : [])];
  const added = usual.filter((line) => !names.has(nameOf(line)));
  return {
    kind: isUpgrade ? "upgrade" : "request",
    headLines: [`GET ${target} HTTP/1.1`, ...added, ...given],
    peer: peerOf(from),
  };
}

/** Not by the rules of a browser, which would resolve `..` before Weir could see it. */
function partsOf(url: string): { isUpgrade: boolean; authority: string; target: string } {
  const [, scheme = "ws", authority = "localhost", rest = url] =
    /^(?:(wss?|https?):\/\/([^/?#]*))?(.*)$/is.exec(url.toWellFormed()) ?? [];
  const [path = ""] = rest.split("#", 1);
  if (authority === "" || authority.includes("@") || /^(?!$)[^/?]/.test(path)) {
    throw new ApiError(400, "bad_request", "url: needs ws://host/path, http://host/path or /path");
  }
  const target = path.startsWith("/") ? path : `/${path}`;
  // As clients do: a request line has visible ASCII only.
  return {
    isUpgrade: /^ws/i.test(scheme),
    authority,
    target: target.replaceAll(/[^\x21-\x7e]/gu, encodeURIComponent),
  };
}

function headerLine(text: string): string {
  if (HEADER_LINE.test(text)) return text;
  throw new ApiError(400, "bad_request", "headers: each needs to be like Name: value");
}

function nameOf(line: string): string {
  return line.slice(0, line.indexOf(":")).toLowerCase();
}

function peerOf(from: string): string {
  if (from === "unix") return "";
  if (net.isIP(from) !== 0) return from;
  throw new ApiError(400, "bad_request", "from: needs an IP address, or unix");
}
