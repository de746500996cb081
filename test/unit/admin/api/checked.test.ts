import { expect, test } from "vitest";
import { z } from "zod";
import { checked } from "../../../../src/admin/api/checked.ts";
import { ApiError } from "../../../../src/admin/api/endpoint.ts";

const schema = z.strictObject({
  text: z.string().min(1).max(3),
  state: z.enum(["active", "down"]).optional(),
  weight: z.int().min(1).max(5).optional(),
  headers: z.array(z.string()).max(1).default([]),
});

test("what fits its schema is handed on, with what it leaves out", () => {
  expect(checked(schema, { text: "a", weight: 5 })).toEqual({ text: "a", weight: 5, headers: [] });
});

test.each<[given: unknown, message: string]>([
  [undefined, "nothing is not an object"],
  ["x", '"x" is not an object'],
  [{}, "text: is required"],
  [{ text: "" }, "text: is empty"],
  [{ text: "abcd" }, "text: has more than 3 characters"],
  [{ text: "a", weight: 1.5 }, "weight: 1.5 is not a whole number"],
  [{ text: "a", weight: 0 }, "weight: 0 is below 1"],
  [{ text: "a", weight: 9 }, "weight: 9 is above 5"],
  [{ text: "a", headers: "b" }, 'headers: "b" is not a list'],
  [{ text: "a", headers: ["b", "c"] }, "headers: has more than 1"],
  [{ text: "a", headers: [1] }, "headers.0: 1 is not text"],
  [{ text: "a", txt: 1, y: 2 }, "unknown key txt, y"],
  [{ text: 1, state: "q" }, 'text: 1 is not text; state: "q" is not one of active, down'],
])("%j is refused: %s", (given, message) => {
  expect(() => checked(schema, given)).toThrow(new ApiError(400, "bad_request", message));
});
