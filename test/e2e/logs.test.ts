// The newest log entries, as the admin API answers them.
import { describe, expect, test } from "vitest";

import { startInFrontOf } from "../support/start-in-front.ts";
import type { StartedWeir } from "../support/start-weir.ts";
import { untilEqual } from "../support/until.ts";

interface Entry {
  readonly id: number;
  readonly time: string;
  readonly level: string;
  readonly message: string;
}

function isRefusal({ message }: { readonly message: string }): boolean {
  return message === "request refused";
}

async function logs(weir: StartedWeir, query = ""): Promise<{ status: number; entries: Entry[] }> {
  const answer = await fetch(`${weir.adminUrl}/api/logs${query}`);
  const { entries = [] } = (await answer.json()) as { entries?: Entry[] };
  return { status: answer.status, entries };
}

describe("GET /api/logs", () => {
  test("answers with the newest entries that fit level, text and limit, newest last", async () => {
    const weir = await startInFrontOf("ws://127.0.0.1:1");
    for (let i = 0; i < 3; i++) await fetch(`${weir.httpUrl}/x`, { headers: { "X-Test": "1" } });
    await untilEqual("refusals in the log", 3, () => weir.log.entries.filter(isRefusal).length);
    const all = await logs(weir);
    expect(all.status).toBe(200);
    expect(all.entries.map(({ message }) => message)).toContain("started");
    expect(all.entries.map(({ id }) => id)).toEqual(
      all.entries.map(({ id }) => id).toSorted((a, b) => a - b),
    );
    const refused = await logs(weir, "?level=warn&q=REQUEST%20refused&limit=2");
    expect(refused.entries.map(({ message }) => message)).toEqual(["request refused", "request refused"]);
    expect(refused.entries.at(-1)).toMatchObject({ level: "warn", code: "backend_failed" });
    expect((await logs(weir, "?q=no-such-thing")).entries).toEqual([]);
  });

  test("refuses a level, a limit or a text that makes no sense with 400", async () => {
    const weir = await startInFrontOf("ws://127.0.0.1:1");
    for (const query of [
      "level=loud",
      "limit=0",
      "limit=-1",
      "limit=ten",
      "limit=1e3",
      `q=${"x".repeat(1_001)}`,
    ]) {
      expect([query, (await logs(weir, `?${query}`)).status]).toEqual([query, 400]);
    }
    expect((await logs(weir, "?limit=999999999&level=&q=")).status).toBe(200);
  });
});
