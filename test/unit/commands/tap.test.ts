// How a frame is told in one line.

import { expect, test } from "vitest";
import { frameLine } from "../../../src/commands/tap.ts";
import type { TappedFrameView } from "../../../src/shared-memory/tapped-frame.ts";

const passed: TappedFrameView = {
  time: "2026-01-01T12:00:03.412Z",
  connection: "1-17",
  user: "ann",
  direction: "client_to_backend",
  opcode: "text",
  fin: true,
  length: 64,
  compressed: false,
  done: "passed",
  limit: null,
};

test.each<[Partial<TappedFrameView>, string]>([
  [{}, "12:00:03.412Z  1-17  client → backend  text               64"],
  [{ direction: "backend_to_client" }, "12:00:03.412Z  1-17  backend → client  text               64"],
  [
    { opcode: "binary", fin: false, length: 1_048_576, compressed: true },
    "12:00:03.412Z  1-17  client → backend  binary        1048576  compressed, more follows",
  ],
  [
    { done: "dropped", limit: "route:/chat" },
    "12:00:03.412Z  1-17  client → backend  text               64  dropped by route:/chat",
  ],
  [{ limit: "tier:vip" }, "12:00:03.412Z  1-17  client → backend  text               64  above tier:vip"],
  [
    { opcode: "continuation", done: "consumed" },
    "12:00:03.412Z  1-17  client → backend  continuation       64  consumed",
  ],
])("%j", (changed, line) => expect(frameLine({ ...passed, ...changed })).toBe(line));
