// Whom a failed dial is blamed on. What we lack ourselves must never eject a backend.
import { describe, expect, test } from "vitest";

import { Refusal } from "../../../src/errors.ts";
import { connectFailure, DialFailure, faultOf } from "../../../src/data-plane/dial-failure.ts";

function errorOf(code: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`connect ${code}`), { code });
}

describe("a connect that fails", () => {
  test.for([
    "ECONNREFUSED",
    "ECONNRESET",
    "EHOSTUNREACH",
    "ENETUNREACH",
    "ETIMEDOUT",
    "ENOENT",
    "ENOTFOUND",
    "CERT_HAS_EXPIRED",
    "ERR_TLS_CERT_ALTNAME_INVALID",
  ])("is the backend's fault: %s", (code) => {
    const failure = connectFailure(errorOf(code));
    expect([failure.code, failure.fault, failure.message]).toEqual([
      "backend_failed",
      "connect",
      `the backend failed: ${code}`,
    ]);
  });

  test.for([
    "EMFILE",
    "ENFILE",
    "ENOBUFS",
    "ENOMEM",
    "EADDRNOTAVAIL",
    "EADDRINUSE",
    "EACCES",
    "EPERM",
    "EAI_AGAIN",
  ])("is nobody's fault but ours: %s", (code) => {
    const failure = connectFailure(errorOf(code));
    expect([failure.code, failure.fault, failure.status]).toEqual(["backend_failed", null, 502]);
  });
});

test("a timeout is answered 504", () => {
  const failure = new DialFailure("timeout", "not in time");
  expect([failure.code, failure.status, failure.retryable]).toEqual(["backend_timeout", 504, true]);
});

test("other refusals blame no backend", () => {
  expect(faultOf(new Refusal("client_gone"))).toBeNull();
  expect(faultOf(new Refusal("backend_failed"))).toBeNull();
  expect(faultOf(new DialFailure("malformed", "garbage"))).toBe("malformed");
});
