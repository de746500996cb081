// The lines of a backend's answer that a client gets.
import { expect, test } from "vitest";

import { answerHeaders } from "../../../src/data-plane/answer-headers.ts";

const rawHeaders = ["X-One", "1", "Content-LENGTH", "5", "Transfer-Encoding", "chunked", "X-One", "2"];

test.for([101, 204, 304])("a %i has no length, as it has no body", (statusCode) => {
  expect(answerHeaders({ statusCode, rawHeaders }, null)).toEqual(["X-One", "1", "X-One", "2"]);
});

test("another answer keeps its length, its order and its case, and gets our own cookie", () => {
  const expected = rawHeaders.filter((_, i) => i !== 4 && i !== 5);
  expect(answerHeaders({ statusCode: 200, rawHeaders }, "a=b")).toEqual([...expected, "Set-Cookie", "a=b"]);
});

test("what Connection names stays on its hop", () => {
  const named = ["Connection", "X-Two, close", "x-two", "2", "X-Three", "3"];
  expect(answerHeaders({ statusCode: 200, rawHeaders: named }, null)).toEqual(["X-Three", "3"]);
});
