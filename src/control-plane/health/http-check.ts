// A health check by an HTTP request: its status says whether the backend is well.

import type net from "node:net";
import { Client } from "undici";
import { checkHeaders, checkUrl } from "./check-request.ts";
import type { CheckTarget } from "./open-socket.ts";

/** More of a body is not waited for. */
const MAX_BODY_BYTES = 64 * 1024;

/** Rejects with what is wrong. A redirect is an answer like any other, and is not followed. */
export async function checkHttp(target: CheckTarget, socket: net.Socket, signal: AbortSignal): Promise<void> {
  const url = checkUrl(target);
  // The check as a whole is bounded by its signal; a second timeout would only say something else.
  const client = new Client(url.origin, {
    // Not at once: undici would take no notice.
    connect: (_options, callback) => queueMicrotask(() => callback(null, socket)),
    headersTimeout: 0,
    bodyTimeout: 0,
  });
  try {
    const { statusCode, body } = await client.request({
      method: "GET",
      path: url.pathname,
      headers: checkHeaders(target),
      reset: true,
      signal,
    });
    await body.dump({ limit: MAX_BODY_BYTES, signal });
    const { expect } = target.check;
    if (!expect.some(({ min, max }) => statusCode >= min && statusCode <= max)) {
      throw new Error(`answered ${statusCode}, expected ${expect.map(rangeText).join(", ")}`);
    }
  } finally {
    await client.destroy();
  }
}

function rangeText({ min, max }: { readonly min: number; readonly max: number }): string {
  return min === max ? String(min) : `${min}-${max}`;
}
