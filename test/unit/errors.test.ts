// The tables that users rely on: each code and reason stands in the README as the code has it, and is
// raised by an end-to-end test.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";

import { parseConfig } from "../../src/config/load.ts";
import { CLOSE_REASONS } from "../../src/data-plane/close-reasons.ts";
import { ERRORS, Refusal } from "../../src/errors.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const readme = readFileSync(join(root, "README.md"), "utf8");
const endToEnd = readdirSync(join(root, "test/e2e"))
  .filter((name) => name.endsWith(".test.ts"))
  .map((name) => readFileSync(join(root, "test/e2e", name), "utf8"))
  .join("\n");

/** The table row of this section that names this in a cell of its own. */
function rowOf(section: string, name: string): string {
  const [, text = ""] = readme.split(`\n### ${section}\n`);
  const [table = ""] = text.split("\n#");
  const rows = table.split("\n").filter((line) => new RegExp(`\\| \`${name}\` *\\|`).test(line));
  if (rows.length !== 1) {
    throw new Error(`README.md has ${rows.length} rows for \`${name}\` under "${section}", not one`);
  }
  return rows[0] ?? "";
}

test("what clients make of each stands in the README (else: WRITE_README=1 npm test -- test/e2e/client-reactions.test.ts)", () => {
  const [, table = ""] = readme.split("<!-- reactions:begin -->");
  const told = [
    ...Object.entries(ERRORS).flatMap(([code, { closeCode }]) => (closeCode === null ? [] : [code])),
    ...Object.values(CLOSE_REASONS).flatMap(({ client, text }) => (client === "cut" ? [] : [text])),
  ];
  const [held = ""] = table.split("<!-- reactions:end -->");
  expect(told.filter((one) => !held.includes(`\`${one}\``))).toEqual([]);
});

describe("errors", () => {
  test.for(Object.entries(ERRORS))("%s stands in the README with its status", ([code, { status }]) => {
    expect(rowOf("When an upgrade is refused", code)).toContain(status === null ? code : String(status));
  });

  test.for(Object.keys(ERRORS))("%s is raised by an end-to-end test", (code) => {
    expect(endToEnd).toMatch(new RegExp(`["'\`:]${code}["'\`]`));
  });

  test("have messages that read on in a log line", () => {
    for (const { message } of Object.values(ERRORS)) expect(message).toMatch(/^[a-z].*[^.]$/);
  });

  test("carry what the table says of them, and what the caller overrides", () => {
    const cause = new Error("why");
    const refusal = new Refusal("backend_failed", { message: "it failed", status: 599, cause });
    expect(refusal).toMatchObject({ code: "backend_failed", message: "it failed", status: 599, cause });
    expect(refusal).toMatchObject({ origin: "backend", closeCode: 1013, retryable: true });
  });
});

describe("close reasons", () => {
  test.for(Object.entries(CLOSE_REASONS))(
    "%s stands in the README with what each side gets",
    ([name, reason]) => {
      const row = rowOf("When an open connection ends", name);
      const client = reason.client === "cut" ? "" : `${reason.client} \`${reason.text}\``;
      const backend = reason.backend === "cut" ? "" : String(reason.backend);
      expect([client, backend].filter((part) => !row.includes(part))).toEqual([]);
    },
  );

  test.for(Object.keys(CLOSE_REASONS))("%s is raised by an end-to-end test", (name) => {
    expect(endToEnd).toMatch(new RegExp(`["'\`]${name}["'\`]`));
  });

  test("are labels that closeCodes of the configuration knows, where there is a client to tell", () => {
    const told = Object.entries(CLOSE_REASONS).filter(([, { client }]) => client !== "cut");
    const closeCodes = Object.fromEntries(told.map(([name]) => [name, 4_000]));
    const pools = { chat: { backends: ["ws://a:1"] } };
    const result = parseConfig({ listeners: ["127.0.0.1:0"], pools, routes: [{ pool: "chat", closeCodes }] });
    expect(result).toMatchObject({ ok: true });
  });
});
