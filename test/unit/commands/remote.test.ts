// Where a command finds the running Weir, and its token.

import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { UsageError } from "../../../src/command-line.ts";
import { resolveRemote } from "../../../src/commands/remote.ts";
import { temporaryFolder } from "../../support/cleanup.ts";

const NONE = { admin: null, token: null, tokenFile: null };

const bearer = (token: string) => ({ authorization: `Bearer ${token}` });

describe("the address", () => {
  test.each([
    ["http://127.0.0.1:9347", "http://127.0.0.1:9347", null],
    ["http://127.0.0.1:9347/", "http://127.0.0.1:9347", null],
    ["https://weir.example/admin/", "https://weir.example/admin", null],
    ["127.0.0.1:1234", "http://127.0.0.1:1234", null],
    ["localhost:1234", "http://localhost:1234", null],
    ["[::1]:1234", "http://[::1]:1234", null],
    ["unix:/run/weir.sock", "http://localhost", "/run/weir.sock"],
    ["unix:///run/weir.sock", "http://localhost", "/run/weir.sock"],
    ["unix:weir.sock", "http://localhost", "weir.sock"],
  ])("%s", (admin, baseUrl, socketPath) => {
    expect(resolveRemote({ ...NONE, admin }, {})).toEqual({ baseUrl, socketPath, shown: admin, headers: {} });
  });

  test("is that of --admin, else of WEIR_ADMIN, else the default of admin.bind", () => {
    const env = { WEIR_ADMIN: "http://127.0.0.1:2" };
    expect(resolveRemote({ ...NONE, admin: "http://127.0.0.1:1" }, env).baseUrl).toBe("http://127.0.0.1:1");
    expect(resolveRemote(NONE, env).baseUrl).toBe("http://127.0.0.1:2");
    expect(resolveRemote(NONE, { WEIR_ADMIN: "" }).baseUrl).toBe("http://127.0.0.1:9347");
  });

  test.each([
    "ws://127.0.0.1:1",
    "ftp://a",
    ":9347",
    "http://",
    "http://u:p@a",
    "http://a/?b",
    "unix:",
    "a b",
  ])("cannot be %s", (admin) => {
    expect(() => resolveRemote({ ...NONE, admin }, {})).toThrow(
      new UsageError(`--admin needs a URL like http://127.0.0.1:9347 or unix:/path, not ${admin}`),
    );
    expect(() => resolveRemote(NONE, { WEIR_ADMIN: admin })).toThrow(/^WEIR_ADMIN needs a URL/);
  });
});

describe("the token", () => {
  test("is that of --token, else the file's, else that of WEIR_TOKEN, else none", async () => {
    const tokenFile = join(await temporaryFolder(), "token");
    await writeFile(tokenFile, "from-file\n");
    const env = { WEIR_TOKEN: "from-env" };
    expect(resolveRemote({ ...NONE, token: "given" }, env).headers).toEqual(bearer("given"));
    expect(resolveRemote({ ...NONE, tokenFile }, env).headers).toEqual(bearer("from-file"));
    expect(resolveRemote(NONE, env).headers).toEqual(bearer("from-env"));
    expect(resolveRemote(NONE, { WEIR_TOKEN: "" }).headers).toEqual({});
  });

  test("is sent as the bytes of its UTF-8, and may be in no two lines", () => {
    expect(resolveRemote({ ...NONE, token: "é☃" }, {}).headers).toEqual(
      bearer("\u00c3\u00a9\u00e2\u0098\u0083"),
    );
    expect(() => resolveRemote({ ...NONE, token: "a\nb" }, {})).toThrow(
      new UsageError("the token has a control character, or is more than a line"),
    );
  });

  test("cannot come from a file that is missing or empty", async () => {
    const tokenFile = join(await temporaryFolder(), "token");
    expect(() => resolveRemote({ ...NONE, tokenFile }, {})).toThrow(
      new UsageError(`--token-file ${tokenFile} cannot be read: no such file or directory`),
    );
    await writeFile(tokenFile, "\n");
    expect(() => resolveRemote({ ...NONE, tokenFile }, {})).toThrow(
      new UsageError(`--token-file ${tokenFile} is empty`),
    );
  });
});
