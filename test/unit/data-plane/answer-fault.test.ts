// Which answers of a backend are passed to nobody.
import { expect, test } from "vitest";

import { answerFault } from "../../../src/data-plane/answer-fault.ts";

function faultOf(statusCode: number, rawHeaders: string[] = [], statusMessage = "") {
  return answerFault({ statusCode, statusMessage, rawHeaders });
}

test.for([
  [204, ["Content-Length", "5"]],
  [204, ["content-length", "00", "Content-Length", "1"]],
  [204, ["Transfer-Encoding", "chunked"]],
  [204, ["Transfer-Encoding", "identity"]],
] as const)("a %i with %j announces a body that is not there", ([status, rawHeaders]) => {
  expect(faultOf(status, [...rawHeaders])).toBe("a 204 that announces a body");
});

test.for([
  [204, []],
  [204, ["Content-Length", "0"]],
  [304, ["Content-Length", "5"]],
  [304, ["Transfer-Encoding", "chunked"]],
  [200, ["Content-Length", "5"]],
  [205, ["Content-Length", "0"]],
] as const)("a %i with %j can be passed on", ([status, rawHeaders]) => {
  expect(faultOf(status, [...rawHeaders])).toBeNull();
});

test("a status or text that cannot be written is a fault", () => {
  expect(faultOf(103)).toBe("status 103");
  expect(faultOf(600)).toBe("status 600");
  expect(faultOf(200, [], "O\u0001K")).toContain("reason phrase");
  expect(faultOf(200, ["X", "a\u0000"])).toContain("header");
});
