import * as fc from "fast-check";
import { describe, expect, test } from "vitest";

import { LogBuffer } from "../../src/log-buffer.ts";
import type { LogLevel } from "../../src/log.ts";

const everything = { level: null, text: "", limit: 100 } as const;

function messagesOf(texts: readonly string[]): unknown[] {
  return texts.map((text) => JSON.parse(text) as { message: unknown }).map(({ message }) => message);
}

describe("the log buffer", () => {
  test("keeps what was logged, with id, time and fields, oldest first", async () => {
    const buffer = new LogBuffer();
    buffer.add("info", "first", { user: "ann", list: ["a"], missing: undefined });
    buffer.add("warn", "second", {});
    const [first = "", second = ""] = await buffer.search(everything);
    expect(JSON.parse(first)).toEqual({
      id: 1,
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
      level: "info",
      message: "first",
      user: "ann",
      list: ["a"],
    });
    expect(JSON.parse(second)).toMatchObject({ id: 2, level: "warn", message: "second" });
    expect(buffer.lastId).toBe(2);
  });

  test("finds by least level, and by text in any case, anywhere in an entry", async () => {
    const buffer = new LogBuffer();
    const levels: LogLevel[] = ["debug", "info", "warn", "error"];
    for (const level of levels) buffer.add(level, `at ${level}`, { user: `Zoë "${level}"` });
    expect(messagesOf(await buffer.search({ ...everything, level: "warn" }))).toEqual([
      "at warn",
      "at error",
    ]);
    expect(messagesOf(await buffer.search({ ...everything, text: "AT IN" }))).toEqual(["at info"]);
    expect(messagesOf(await buffer.search({ ...everything, text: 'zOË "debug"' }))).toEqual(["at debug"]);
    expect(await buffer.search({ ...everything, level: "error", text: "at info" })).toEqual([]);
  });

  test("answers with the newest that fit the limit", async () => {
    const buffer = new LogBuffer();
    for (let i = 0; i < 5_000; i++) buffer.add(i % 2 === 0 ? "info" : "warn", `line ${i}`, {});
    expect(messagesOf(await buffer.search({ level: "warn", text: "line", limit: 2 }))).toEqual([
      "line 4997",
      "line 4999",
    ]);
    const oldest = await buffer.search({ ...everything, text: "line 1234" });
    expect(messagesOf(oldest)).toEqual(["line 1234"]);
  });

  test("tells what came after an entry, without those that are gone", () => {
    const buffer = new LogBuffer(3);
    for (const message of ["a", "b", "c", "d", "e"]) buffer.add("info", message, {});
    expect(messagesOf(buffer.after(0, 10))).toEqual(["c", "d", "e"]);
    expect(messagesOf(buffer.after(4, 10))).toEqual(["e"]);
    expect(messagesOf(buffer.after(5, 10))).toEqual([]);
    expect(messagesOf(buffer.after(0, 1))).toEqual(["e"]);
  });

  test("lets no field pass for the entry's own id, time, level or message", async () => {
    const buffer = new LogBuffer();
    buffer.add("warn", "true", { message: "forged", level: "debug", id: 99, time: "never" });
    const [text = ""] = await buffer.search(everything);
    expect(JSON.parse(text)).toMatchObject({ id: 1, level: "warn", message: "true" });
  });

  test("holds no more than its number of entries and characters, whatever comes", () => {
    const line = fc.record({
      level: fc.constantFrom<LogLevel>("debug", "info", "warn", "error"),
      message: fc.string({ maxLength: 300 }),
      user: fc.string({ maxLength: 300 }),
    });
    fc.assert(
      fc.property(fc.array(line, { maxLength: 60 }), (lines) => {
        const buffer = new LogBuffer(20, 2_000);
        for (const { level, message, user } of lines) buffer.add(level, message, { user });
        const kept = buffer.after(0, 1_000);
        expect(kept.length).toBe(buffer.size);
        expect(buffer.size).toBeLessThanOrEqual(20);
        expect(kept.join("").length).toBe(buffer.characters);
        // A single entry stays, however long it is.
        expect(buffer.characters <= 2_000 || buffer.size === 1).toBe(true);
        expect(messagesOf(kept)).toEqual(
          lines.slice(lines.length - kept.length).map(({ message }) => message),
        );
      }),
    );
  });

  test("stays within 8 Mi characters with the longest of entries, and shortens those that are longer", async () => {
    const buffer = new LogBuffer();
    for (let i = 0; i < 2_000; i++) buffer.add("info", "long", { value: "x".repeat(16_000) });
    expect(buffer.characters).toBeLessThanOrEqual(8 * 1024 * 1024);
    expect(buffer.size).toBeGreaterThan(500);
    buffer.add("error", "far too long", { stack: "y".repeat(1_000_000) });
    const [text = ""] = await buffer.search({ level: "error", text: "", limit: 1 });
    expect(JSON.parse(text)).toMatchObject({ message: "far too long", isCut: true });
  });

  test("goes on searching while entries come and go", async () => {
    const buffer = new LogBuffer(2_500);
    for (let i = 0; i < 2_500; i++) buffer.add("info", `old ${i}`, {});
    const searching = buffer.search({ ...everything, limit: 10_000 });
    for (let i = 0; i < 2_000; i++) buffer.add("info", `new ${i}`, {});
    const found = messagesOf(await searching);
    expect(found.at(-1)).toBe("old 2499");
    expect(new Set(found).size).toBe(found.length);
  });
});
