// Every way in which a file comes to hold something else, on real files; and what is no change.

import { writeFileSync } from "node:fs";
import { mkdir, rename, rm, symlink, utimes, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import { type Fingerprints, fingerprintOf } from "../../../src/config/source-files.ts";
import { FileWatch } from "../../../src/config/watch.ts";
import { onCleanup, temporaryFolder } from "../../support/cleanup.ts";
import { until } from "../../support/until.ts";

const SETTLE_MS = 30;

interface Watched {
  readonly watch: FileWatch;
  readonly folder: string;
  readonly file: string;
  /** What the watch told, in order. */
  readonly told: Fingerprints[];
  /** The names of all its events. */
  readonly steps: string[];
}

/** Watches one file that holds `first`. `lay` puts it there, under the name that it returns. */
async function startWatch(lay: (folder: string) => Promise<string>, settleMs = SETTLE_MS): Promise<Watched> {
  const folder = await temporaryFolder();
  const file = await lay(folder);
  const told: Fingerprints[] = [];
  const steps: string[] = [];
  const watch = new FileWatch({
    moved: () => steps.push("moved"),
    calmed: () => steps.push("calmed"),
    changed: (seen) => {
      steps.push("changed");
      told.push(seen);
    },
  });
  onCleanup("the watch", () => watch.close());
  watch.watch(new Map([[file, fingerprintOf("first")]]), settleMs);
  return { watch, folder, file, told, steps };
}

async function layFile(folder: string): Promise<string> {
  const file = join(folder, "weir.yaml");
  await writeFile(file, "first");
  return file;
}

/** As Kubernetes mounts a ConfigMap: weir.yaml → ..data/weir.yaml, ..data → ..VERSION. */
async function layConfigMap(folder: string): Promise<string> {
  await layVersion(folder, "..1", "first");
  await symlink("..1", join(folder, "..data"));
  await symlink(join("..data", "weir.yaml"), join(folder, "weir.yaml"));
  return join(folder, "weir.yaml");
}

async function layVersion(folder: string, version: string, text: string): Promise<void> {
  await mkdir(join(folder, version));
  await writeFile(join(folder, version, "weir.yaml"), text);
}

/** A file that is reached by a link from another directory, where nothing is reported of it. */
async function layLink(folder: string): Promise<string> {
  await mkdir(join(folder, "elsewhere"));
  await mkdir(join(folder, "here"));
  await writeFile(join(folder, "elsewhere", "weir.yaml"), "first");
  await symlink(join("..", "elsewhere", "weir.yaml"), join(folder, "here", "weir.yaml"));
  return join(folder, "here", "weir.yaml");
}

/** A deadline for what is awaited, as a bound of failure. */
const patience = { timeout: 10_000 };

const GONE = "unreadable: ENOENT";

/** What the file holds, as it was told last. */
function lastTold({ told, file }: Watched): string | undefined {
  return told.at(-1)?.get(file);
}

/** How often the watch has told something up to a change that comes last. */
async function timesToldWithOneMore(watched: Watched): Promise<number> {
  writeFileSync(watched.file, "last");
  await until("the last change is told", () => lastTold(watched) === fingerprintOf("last"));
  return watched.told.length;
}

describe("tells of", () => {
  test("a file that is written in place", async () => {
    const watched = await startWatch(layFile);
    await writeFile(watched.file, "second");
    await expect.poll(() => lastTold(watched), patience).toBe(fingerprintOf("second"));
  });

  test("a text of the same length and with the same time of modification", async () => {
    const watched = await startWatch(layFile);
    const at = new Date(0);
    await writeFile(watched.file, "other");
    await utimes(watched.file, at, at);
    await expect.poll(() => lastTold(watched), patience).toBe(fingerprintOf("other"));
  });

  test("another file that is renamed to it", async () => {
    const watched = await startWatch(layFile);
    await writeFile(join(watched.folder, "new"), "second");
    await rename(join(watched.folder, "new"), watched.file);
    await expect.poll(() => lastTold(watched), patience).toBe(fingerprintOf("second"));
  });

  test("Kubernetes' swap of the symlink ..data", async () => {
    const watched = await startWatch(layConfigMap);
    for (const version of ["..2", "..3"]) {
      await layVersion(watched.folder, version, version);
      await symlink(version, join(watched.folder, "..data_tmp"));
      await rename(join(watched.folder, "..data_tmp"), join(watched.folder, "..data"));
      await expect.poll(() => lastTold(watched), patience).toBe(fingerprintOf(version));
    }
  });

  test("a file behind a link to a directory of which nothing is reported", async () => {
    const watched = await startWatch(layLink);
    await writeFile(join(watched.folder, "elsewhere", "weir.yaml"), "second");
    await expect.poll(() => lastTold(watched), patience).toBe(fingerprintOf("second"));
  });

  test("a file that is deleted, and that is there again", async () => {
    const watched = await startWatch(layFile);
    await rm(watched.file);
    await expect.poll(() => lastTold(watched), patience).toBe(GONE);
    await writeFile(watched.file, "second");
    await expect.poll(() => lastTold(watched), patience).toBe(fingerprintOf("second"));
  });

  test("a file whose directory is deleted and made again", async () => {
    const watched = await startWatch(async (folder) => {
      await mkdir(join(folder, "conf"));
      return layFile(join(folder, "conf"));
    });
    await rm(dirname(watched.file), { recursive: true });
    await expect.poll(() => lastTold(watched), patience).toBe(GONE);
    await mkdir(dirname(watched.file));
    await writeFile(watched.file, "second");
    await expect.poll(() => lastTold(watched), patience).toBe(fingerprintOf("second"));
  });

  test("a file that was missing", async () => {
    const watched = await startWatch(async (folder) => join(folder, "conf", "weir.yaml"));
    await expect.poll(() => lastTold(watched), patience).toBe(GONE);
    await mkdir(dirname(watched.file));
    await writeFile(watched.file, "second");
    await expect.poll(() => lastTold(watched), patience).toBe(fingerprintOf("second"));
  });

  test("what had changed already when the watch began", async () => {
    const watched = await startWatch(async (folder) => {
      const file = join(folder, "weir.yaml");
      await writeFile(file, "second");
      return file;
    });
    await expect.poll(() => lastTold(watched), patience).toBe(fingerprintOf("second"));
  });

  test("all files, with what each of them holds", async () => {
    const watched = await startWatch(layFile);
    const other = join(watched.folder, "more.yaml");
    await writeFile(other, "more");
    watched.watch.watch(
      new Map([
        [watched.file, fingerprintOf("first")],
        [other, fingerprintOf("more")],
      ]),
      SETTLE_MS,
    );
    writeFileSync(other, "still more");
    await until("the watch tells", () => watched.told.length > 0);
    expect(watched.told).toEqual([
      new Map([
        [watched.file, fingerprintOf("first")],
        [other, fingerprintOf("still more")],
      ]),
    ]);
  });
});

describe("does not tell of", () => {
  test("a touch", async () => {
    const watched = await startWatch(layFile);
    await utimes(watched.file, new Date(), new Date());
    expect(await timesToldWithOneMore(watched)).toBe(1);
  });

  test("the same text once more, written in place or renamed to it", async () => {
    const watched = await startWatch(layFile);
    writeFileSync(watched.file, "first");
    await writeFile(join(watched.folder, "new"), "first");
    await rename(join(watched.folder, "new"), watched.file);
    expect(await timesToldWithOneMore(watched)).toBe(1);
  });

  test("another file beside it", async () => {
    const watched = await startWatch(layFile);
    await writeFile(join(watched.folder, "other.yaml"), "second");
    expect(await timesToldWithOneMore(watched)).toBe(1);
  });

  test("the same change twice", async () => {
    const watched = await startWatch(layFile);
    writeFileSync(watched.file, "second");
    await expect.poll(() => lastTold(watched), patience).toBe(fingerprintOf("second"));
    await utimes(watched.file, new Date(), new Date());
    writeFileSync(watched.file, "third");
    await expect.poll(() => lastTold(watched), patience).toBe(fingerprintOf("third"));
    expect(watched.told).toHaveLength(2);
  });

  test("a change that was taken back before it had settled", async () => {
    const watched = await startWatch(layFile);
    for (const text of ["", "second", "first"]) writeFileSync(watched.file, text);
    expect(await timesToldWithOneMore(watched)).toBe(1);
  });

  test("files that it watches no more", async () => {
    const watched = await startWatch(layFile);
    const other = join(watched.folder, "other.yaml");
    await writeFile(other, "first");
    watched.watch.watch(new Map([[other, fingerprintOf("first")]]), SETTLE_MS);
    await writeFile(watched.file, "second");
    writeFileSync(other, "last");
    await until("the watch tells", () => watched.told.length > 0);
    expect(watched.told).toEqual([new Map([[other, fingerprintOf("last")]])]);
  });

  test("a stream, which cannot be read twice", async () => {
    const watched = await startWatch(layFile);
    const files = [watched.file, "/dev/null"].map((file) => [file, fingerprintOf("first")] as const);
    watched.watch.watch(new Map(files), SETTLE_MS);
    expect(await timesToldWithOneMore(watched)).toBe(1);
    expect(watched.told[0]?.has("/dev/null")).toBe(false);
  });

  test("anything once it is closed", async () => {
    const watched = await startWatch(layFile);
    const other = await startWatch(layFile);
    watched.watch.close();
    await writeFile(watched.file, "second");
    await writeFile(other.file, "second");
    await expect.poll(() => lastTold(other), patience).toBe(fingerprintOf("second"));
    expect(watched.told).toEqual([]);
  });
});

test("moves are told of at once, and followed by a change or by none", async () => {
  const watched = await startWatch(layFile);
  await until("the first look", () => watched.steps.length > 0);
  await utimes(watched.file, new Date(), new Date());
  await until("another look", () => watched.steps.length > 2);
  writeFileSync(watched.file, "second");
  await expect.poll(() => lastTold(watched), patience).toBe(fingerprintOf("second"));
  expect(watched.steps.join(" ")).toMatch(/^calmed( moved)+ calmed( moved)+ changed$/);
});

test("a file that is written piece by piece is told of once, when it is whole", async () => {
  // Far longer than one write takes, even on a machine that is busy.
  const watched = await startWatch(layFile, 1_000);
  let text = "";
  for (let piece = 0; piece < 50; piece++) {
    text += `line ${piece}\n`;
    await writeFile(watched.file, text);
  }
  await expect.poll(() => lastTold(watched), patience).toBe(fingerprintOf(text));
  expect(watched.told).toHaveLength(1);
});

test("a change after another one is told of, and one that takes it back as well", async () => {
  const watched = await startWatch(layFile);
  await writeFile(watched.file, "second");
  await expect.poll(() => lastTold(watched), patience).toBe(fingerprintOf("second"));
  // As after a reload: this is what was read.
  watched.watch.watch(new Map([[watched.file, fingerprintOf("second")]]), SETTLE_MS);
  await writeFile(watched.file, "first");
  await expect.poll(() => lastTold(watched), patience).toBe(fingerprintOf("first"));
});
