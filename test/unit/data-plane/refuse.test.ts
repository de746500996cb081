// What a refusal looks like as an HTTP answer, for every code of the table.
import { describe, expect, test } from "vitest";

import { connectionHeader, refusalAnswer } from "../../../src/data-plane/refuse.ts";
import { type ErrorCode, ERRORS, Refusal } from "../../../src/errors.ts";

const codes = Object.keys(ERRORS).filter((code): code is ErrorCode => code in ERRORS);

describe("refusalAnswer", () => {
  test.for(codes)("of %s says code and message as JSON, with its length", (code) => {
    const { status, headers, body } = refusalAnswer(new Refusal(code));
    expect(status).toBe(ERRORS[code].status ?? 500);
    expect(JSON.parse(String(body))).toEqual({ error: code, message: ERRORS[code].message });
    expect(headers).toMatchObject({
      "Content-Type": "application/json",
      "Content-Length": String(Buffer.byteLength(body)),
    });
    expect(headers["Retry-After"] !== undefined).toBe(status === 429 || status === 503);
    expect(headers["Upgrade"]).toBe(status === 426 ? "websocket" : undefined);
  });

  test("names the version that is spoken where another was asked for", () => {
    const { status, headers } = refusalAnswer(new Refusal("bad_upgrade", { status: 426 }));
    expect(status).toBe(426);
    expect(headers).toMatchObject({ "Sec-WebSocket-Version": "13", Upgrade: "websocket" });
    expect(refusalAnswer(new Refusal("bad_upgrade")).headers["Sec-WebSocket-Version"]).toBeUndefined();
  });

  test("counts the length in bytes", () => {
    const { headers, body } = refusalAnswer(new Refusal("no_route", { message: "keine Route für ü" }));
    expect(Number(headers["Content-Length"])).toBe(Buffer.byteLength(body));
    expect(Number(headers["Content-Length"])).toBeGreaterThan(body.length);
  });

  test("spreads Retry-After by half, in whole seconds", () => {
    const refusals = Array.from({ length: 200 }, () => refusalAnswer(new Refusal("backends_full")));
    const seconds = new Set(refusals.map(({ headers }) => Number(headers["Retry-After"])));
    expect(seconds).toEqual(new Set([1, 2, 3]));
  });
});

test("Connection names Upgrade where there is one", () => {
  expect(connectionHeader({}, "close")).toBe("close");
  expect(connectionHeader({}, "keep-alive")).toBe("keep-alive");
  expect(connectionHeader({ Upgrade: "websocket" }, "close")).toBe("close, upgrade");
  expect(connectionHeader({ Upgrade: "websocket" }, "keep-alive")).toBe("keep-alive, upgrade");
});
