import { describe, expect, test } from "vitest";

import type { NoticesConfig } from "../../../src/config/schema-routes.ts";
import { LimitNotice } from "../../../src/data-plane/limit-notice.ts";

const notices: NoticesConfig = {
  limited: "wait {{retryAfterMs}} ms, that is {{retryAfterMs}}",
  draining: null,
  subprotocols: ["chat.v1"],
};

describe("the notice of a limit", () => {
  test("says in whole milliseconds when the next message would pass, wherever the text asks for it", () => {
    expect(new LimitNotice(null).textFor(notices, 12.1, 0)).toBe("wait 13 ms, that is 13");
    expect(new LimitNotice(null).textFor({ ...notices, limited: "plain $& text" }, 12.1, 0)).toBe(
      "plain $& text",
    );
  });

  test("comes at most once a second", () => {
    const notice = new LimitNotice(null);
    const sentAt = (times: number[]): number[] =>
      times.filter((nowMs) => notice.textFor(notices, 1, nowMs) !== null);
    expect(sentAt([5, 6, 1_004, 1_005, 1_006, 2_004, 9_000, 9_999, 10_000])).toEqual([
      5, 1_005, 9_000, 10_000,
    ]);
  });

  test("comes to connections without a subprotocol, and to those of a listed one", () => {
    expect(new LimitNotice(null).textFor(notices, 1, 0)).not.toBeNull();
    expect(new LimitNotice("chat.v1").textFor(notices, 1, 0)).not.toBeNull();
    expect(new LimitNotice("chat.v2").textFor(notices, 1, 0)).toBeNull();
    expect(new LimitNotice("graphql-ws").textFor({ ...notices, subprotocols: [] }, 1, 0)).toBeNull();
  });

  test("does not come where the route has none, and a reload that brings one is followed at once", () => {
    const notice = new LimitNotice(null);
    expect(notice.textFor(null, 1, 0)).toBeNull();
    expect(notice.textFor({ ...notices, limited: null }, 1, 1)).toBeNull();
    expect(notice.textFor(notices, 1, 2)).not.toBeNull();
  });
});
