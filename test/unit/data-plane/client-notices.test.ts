import { describe, expect, test } from "vitest";

import type { NoticesConfig } from "../../../src/config/schema-routes.ts";
import { ClientNotices } from "../../../src/data-plane/client-notices.ts";

const notices: NoticesConfig = {
  limited: "wait {{retryAfterMs}} ms, that is {{retryAfterMs}}",
  draining: null,
  subprotocols: ["chat.v1"],
};

describe("the notice of a limit", () => {
  test("says in whole milliseconds when the next message would pass, wherever the text asks for it", () => {
    expect(new ClientNotices(null).limited(notices, 12.1, 0)).toBe("wait 13 ms, that is 13");
    expect(new ClientNotices(null).limited({ ...notices, limited: "plain $& text" }, 12.1, 0)).toBe(
      "plain $& text",
    );
  });

  test("comes at most once a second", () => {
    const notice = new ClientNotices(null);
    const sentAt = (times: number[]): number[] =>
      times.filter((nowMs) => notice.limited(notices, 1, nowMs) !== null);
    expect(sentAt([5, 6, 1_004, 1_005, 1_006, 2_004, 9_000, 9_999, 10_000])).toEqual([
      5, 1_005, 9_000, 10_000,
    ]);
  });

  test("comes to connections without a subprotocol, and to those of a listed one", () => {
    expect(new ClientNotices(null).limited(notices, 1, 0)).not.toBeNull();
    expect(new ClientNotices("chat.v1").limited(notices, 1, 0)).not.toBeNull();
    expect(new ClientNotices("chat.v2").limited(notices, 1, 0)).toBeNull();
    expect(new ClientNotices("graphql-ws").limited({ ...notices, subprotocols: [] }, 1, 0)).toBeNull();
  });

  test("does not come where the route has none, and a reload that brings one is followed at once", () => {
    const notice = new ClientNotices(null);
    expect(notice.limited(null, 1, 0)).toBeNull();
    expect(notice.limited({ ...notices, limited: null }, 1, 1)).toBeNull();
    expect(notice.limited(notices, 1, 2)).not.toBeNull();
  });
});

describe("the notice of a shutdown", () => {
  const leave: NoticesConfig = { ...notices, draining: "leave in {{graceSeconds}} s" };

  test("says how many whole seconds there are to leave", () => {
    expect(new ClientNotices(null).draining(leave, 0)).toBe("leave in 0 s");
    expect(new ClientNotices(null).draining(leave, 1_001)).toBe("leave in 2 s");
  });

  test("comes where the route has one, by the same rule of subprotocols", () => {
    expect(new ClientNotices(null).draining(notices, 0)).toBeNull();
    expect(new ClientNotices(null).draining(null, 0)).toBeNull();
    expect(new ClientNotices("chat.v1").draining(leave, 0)).not.toBeNull();
    expect(new ClientNotices("graphql-ws").draining(leave, 0)).toBeNull();
  });

  test("is the last one", () => {
    const told = new ClientNotices(null);
    told.draining(leave, 0);
    expect(told.limited(leave, 1, 0)).toBeNull();
    const untold = new ClientNotices(null);
    untold.draining(notices, 0);
    expect(untold.limited(notices, 1, 0)).not.toBeNull();
  });
});
