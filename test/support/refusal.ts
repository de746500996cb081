// Weir's own refusals as they stand on the wire: an HTTP answer with a JSON body, after which Weir closes.
import { expect } from "vitest";

import { connectRaw } from "./raw-client.ts";
import type { HttpHead } from "./http-head.ts";
import type { RawConnection } from "./raw-connection.ts";
import type { StartedWeir } from "./start-weir.ts";
import { untilEqual } from "./until.ts";

interface RawRefusal {
  readonly status: number;
  /** CODE of the contract; empty for a body that is none of Weir's. */
  readonly code: string;
  readonly message: string;
  readonly head: HttpHead;
}

/** Connects, sends these bytes in one write, and reads the answer up to Weir's FIN. */
export async function refusalOf(target: string, bytes: Buffer | string): Promise<RawRefusal> {
  const connection = await connectRaw(target);
  await connection.write(bytes);
  return readRefusal(connection);
}

/** The refusal that comes next; rejects unless it is exactly one answer, and the FIN follows it. */
export async function readRefusal(connection: RawConnection): Promise<RawRefusal> {
  const head = await connection.readHead();
  const body = (await connection.readToEnd()).toString();
  if (head.header("content-length") !== String(Buffer.byteLength(body))) {
    throw new Error(`not one whole answer: ${head.raw}${body}`);
  }
  const parsed: unknown = JSON.parse(body);
  return { status: head.status, code: field(parsed, "error"), message: field(parsed, "message"), head };
}

/**
 * Sends each of these, by its name, on a connection of its own: each gets the same status and CODE, then
 * FIN, and leaves one line in the log. Nothing else may have been refused by this Weir before.
 */
export async function expectRefusals(
  { url, log }: StartedWeir,
  attacks: Readonly<Record<string, Buffer | string>>,
  expected: { readonly status: number; readonly code: string },
): Promise<void> {
  for (const [what, bytes] of Object.entries(attacks)) {
    const { status, code, head } = await refusalOf(url, bytes).catch((error: unknown) => {
      throw new Error(`${what}: ${String(error)}`, { cause: error });
    });
    expect.soft({ what, status, code }).toEqual({ what, ...expected });
    expect.soft(head.header("connection"), what).toBe("close");
  }
  const refused = () => log.entries.filter(({ fields }) => fields["code"] === expected.code);
  await untilEqual("the number of refusals logged", Object.keys(attacks).length, () => refused().length);
  expect(refused().every(({ level }) => level === "info")).toBe(true);
}

function field(value: unknown, key: string): string {
  const found = typeof value === "object" && value !== null ? Reflect.get(value, key) : undefined;
  return typeof found === "string" ? found : "";
}
