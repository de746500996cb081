// The state file on a disk that may be full, foreign or in the way.
import { chmod, mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { StateFile } from "../../../src/control-plane/state-file.ts";
import type { StateRecord } from "../../../src/control-plane/state-format.ts";
import { temporaryFolder } from "../../support/cleanup.ts";
import { recordingLog } from "../../support/recording-log.ts";

let folder: string;
let path: string;
let records: StateRecord[];
let lines: string[];
let reasons: unknown[];
let file: StateFile;

beforeEach(async () => {
  folder = await temporaryFolder();
  path = join(folder, "state.json");
  records = [{ kind: "bans", bans: [["eve", 1]] }];
  lines = [];
  reasons = [];
  const log = recordingLog((level, message, fields) => {
    lines.push(`${level}: ${message}`);
    reasons.push(fields["reason"]);
  });
  file = new StateFile({ records: () => records, log });
  file.configure({ file: path });
});

afterEach(() => {
  file.stop();
  vi.useRealTimers();
});

describe("saving", () => {
  test("writes what the next start loads, for nobody else to read", async () => {
    await file.save();
    expect(await file.load()).toEqual(records);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(await readdir(folder)).toEqual(["state.json"]);
    expect(lines).toEqual(["debug: state written"]);
  });

  test("replaces the file, whoever could read that", async () => {
    await writeFile(path, "before");
    await chmod(path, 0o644);
    await file.save();
    expect(await file.load()).toEqual(records);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
  });

  test("behind a save that is under way writes what holds by then", async () => {
    const first = file.save();
    records = [{ kind: "bans", bans: [["mallory", 2]] }];
    await Promise.all([first, file.save()]);
    expect(await file.load()).toEqual(records);
  });

  test("comes every minute", async () => {
    vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
    file.configure(null);
    file.configure({ file: path });
    vi.advanceTimersByTime(59_999);
    await expect(stat(path)).rejects.toThrow("ENOENT");
    vi.advanceTimersByTime(1);
    // It is behind the one of the timer.
    await file.save();
    expect(lines).toEqual(["debug: state written", "debug: state written"]);
    file.configure(null);
    expect(vi.getTimerCount()).toBe(0);
  });

  test("nowhere does nothing", async () => {
    file.configure(null);
    await file.save();
    expect(await file.load()).toEqual([]);
    expect(lines).toEqual([]);
  });

  test("where it cannot is logged, and leaves nothing behind", async () => {
    file.configure({ file: join(folder, "missing", "state.json") });
    await file.save();
    expect(lines).toEqual(["error: the state could not be written"]);
    expect(reasons).toEqual(["ENOENT"]);
    expect(await readdir(folder)).toEqual([]);
  });

  test("never replaces what is not a file", async () => {
    await mkdir(path);
    await file.save();
    file.configure({ file: "/dev/null" });
    await file.save();
    expect(reasons).toEqual(["it is not a regular file", "it is not a regular file"]);
    expect((await stat("/dev/null")).isCharacterDevice()).toBe(true);
  });

  test("that fails halfway leaves the file of before whole", async () => {
    await file.save();
    const before = await readFile(path, "utf8");
    const failing = new StateFile({
      records: function* () {
        yield* records;
        throw new Error("a mistake of ours");
      },
      log: recordingLog((level, message) => lines.push(`${level}: ${message}`)),
    });
    failing.configure({ file: path });
    await failing.save();
    failing.stop();
    expect(await readFile(path, "utf8")).toBe(before);
    expect(await readdir(folder)).toEqual(["state.json"]);
    expect(lines.at(-1)).toBe("error: the state could not be written");
  });
});

describe("loading", () => {
  test("a file that is missing is a warning", async () => {
    expect(await file.load()).toEqual([]);
    expect(lines).toEqual(["warn: no state to restore, starting afresh"]);
    expect(reasons).toEqual(["ENOENT"]);
  });

  test.each([
    ["that is cut short", (whole: string) => whole.slice(0, -4), "it is cut short"],
    ["of another program", () => "root:x:0:0:root:/root:/bin/sh\n", "it is not a state file of Weir"],
    ["that is one endless line", () => "x".repeat(1_000_000), "it is not a state file of Weir"],
    ["that is empty", () => "", "it is empty"],
  ])("a file %s is a warning, and kept under another name", async (_what, change, reason) => {
    await file.save();
    const text = change(await readFile(path, "utf8"));
    await writeFile(path, text);
    lines.length = 0;
    reasons.length = 0;
    expect(await file.load()).toEqual([]);
    expect(lines).toEqual(["warn: no state to restore, starting afresh"]);
    expect(reasons).toEqual([reason]);
    expect(await readdir(folder)).toEqual(["state.json.unreadable"]);
    expect(await readFile(`${path}.unreadable`, "utf8")).toBe(text);
  });

  test("what is not a file stays where it is", async () => {
    await mkdir(path);
    expect(await file.load()).toEqual([]);
    expect(reasons).toEqual(["it is not a regular file"]);
    expect(await readdir(folder)).toEqual(["state.json"]);
  });
});
