// Fetches a small text by HTTP, for what Weir itself needs to know.

const TIMEOUT_MS = 5_000;

/** More than any set of keys takes. */
const MAX_BYTES = 1024 * 1024;

/** Rejects for another status than 200, a body that is too long, and after 5 s. Follows no redirect. */
export async function fetchText(url: string): Promise<string> {
  const { request } = await import("undici");
  const signal = AbortSignal.timeout(TIMEOUT_MS);
  const { statusCode, body } = await request(url, {
    headers: { accept: "application/json", "user-agent": "weir" },
    signal,
    // It is asked for seldom: a socket that is kept would only be closed by the other side.
    reset: true,
  });
  if (statusCode !== 200) {
    await body.dump({ limit: MAX_BYTES, signal });
    throw new Error(`answered ${statusCode}`);
  }
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_BYTES) throw new Error(`answered more than ${MAX_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}
