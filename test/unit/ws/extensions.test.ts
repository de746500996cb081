import { expect, test } from "vitest";
import { answerForDropping, canDropMessages, offerForDropping } from "../../../src/ws/extensions.ts";

test.each([
  [undefined, undefined],
  ["", undefined],
  ["x-webkit-deflate-frame", undefined],
  ["permessage-deflate", "permessage-deflate; client_no_context_takeover"],
  [
    "permessage-deflate; client_max_window_bits, x-other; a=1, permessage-deflate; server_max_window_bits=10",
    "permessage-deflate; client_max_window_bits; client_no_context_takeover, " +
      "permessage-deflate; server_max_window_bits=10; client_no_context_takeover",
  ],
  ["permessage-deflate; client_no_context_takeover", "permessage-deflate; client_no_context_takeover"],
  [
    'permessage-deflate; client_max_window_bits="9"',
    "permessage-deflate; client_max_window_bits=9; client_no_context_takeover",
  ],
])("offers the backend %j as %j", (offer, expected) => {
  expect(offerForDropping(offer)).toBe(expected);
});

test("the client's answer demands a fresh start of each message, and keeps all that was agreed on", () => {
  expect(answerForDropping("permessage-deflate; server_no_context_takeover")).toBe(
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
  );
  expect(answerForDropping("permessage-deflate;client_no_context_takeover")).toBe(
    "permessage-deflate; client_no_context_takeover",
  );
});

test.each([
  [undefined, true],
  ["permessage-deflate; client_no_context_takeover", true],
  ["permessage-deflate", false],
  ["permessage-deflate; client_no_context_takeover, x-other", false],
  ["x-other", false],
  ["=", false],
])("where %j was agreed on, messages can be dropped: %s", (agreed, expected) => {
  expect(canDropMessages(agreed)).toBe(expected);
});
