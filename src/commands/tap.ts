// `weir tap`: the headers of frames as they pass, one line each, until somebody has seen enough.

import process from "node:process";
import type { TapFilter } from "./remote-command.ts";
import { ExitCode } from "../errors.ts";
import type { TappedFrameView } from "../shared-memory/tapped-frame.ts";
import { AdminStream, streamLost } from "./admin-stream.ts";
import type { Output } from "./output.ts";
import { fitted, plain } from "./plain-text.ts";
import type { Remote } from "./remote.ts";

interface Frames {
  readonly frames: readonly TappedFrameView[];
  /** Not told of, as there were too many. */
  readonly lost: number;
}

interface TapOptions {
  readonly only: TapFilter;
  /** Each frame as the API tells it. */
  readonly json: boolean;
}

/** A connection that is tapped alone has ended. */
const CONNECTION_OVER = 1000;

const DIRECTIONS = { client_to_backend: "client → backend", backend_to_client: "backend → client" } as const;

/** Returns the exit code. */
export async function tap(
  remote: Remote,
  { only, json }: TapOptions,
  { print, complain }: Output,
): Promise<number> {
  const { promise: enough, resolve: onEnough } = Promise.withResolvers<null>();
  let shown = 0;
  let lost = 0;
  const stream = await AdminStream.open(remote, {
    path: `/api/tap?${queryOf(only)}`,
    silenceMs: null,
    onMessage: (message) => {
      const batch = framesOf(message);
      if (batch === null) return;
      for (const frame of batch.frames) print(json ? JSON.stringify(frame) : frameLine(frame));
      shown += batch.frames.length;
      lost += batch.lost;
      if (batch.lost > 0) complain(`${batch.lost} frames lost: they were too many`);
    },
  });
  const end = (): void => onEnough(null);
  process.on("SIGINT", end).on("SIGTERM", end);
  // Whoever reads our output may leave first.
  process.stdout.on("error", end);
  complain(`tapping ${plain(only.user ?? only.connection ?? "")}; Ctrl-C ends it`);
  const closed = await Promise.race([enough, stream.ended]);
  process.off("SIGINT", end).off("SIGTERM", end);
  process.stdout.off("error", end);
  stream.end();
  if (closed !== null && closed.code !== CONNECTION_OVER) throw streamLost(remote);
  complain(`${closed === null ? "" : "the connection has ended; "}${shown} frames, ${lost} lost`);
  return ExitCode.ok;
}

/** `12:00:03.412Z 1-17 client → backend  text     64  compressed  dropped by route`. */
export function frameLine(frame: TappedFrameView): string {
  const { time, connection, direction, opcode, fin, length, compressed, done, limit } = frame;
  const notes = [
    ...(compressed ? ["compressed"] : []),
    ...(fin ? [] : ["more follows"]),
    ...(limit === null ? [] : [`${done === "passed" ? "above" : `${done} by`} ${limit}`]),
    ...(limit === null && done !== "passed" ? [done] : []),
  ];
  const parts = [
    time.slice(time.indexOf("T") + 1),
    connection,
    DIRECTIONS[direction],
    fitted(opcode, OPCODE_WIDTH),
    fitted(String(length), LENGTH_WIDTH, "right"),
    notes.join(", "),
  ];
  return plain(parts.join("  ")).trimEnd();
}

const OPCODE_WIDTH = "continuation".length;
const LENGTH_WIDTH = 7;

function queryOf({ user, connection }: TapFilter): string {
  const query = new URLSearchParams();
  if (user !== null) query.set("user", user);
  if (connection !== null) query.set("connection", connection);
  return query.toString();
}

/** Null for what tells of no frames. */
function framesOf(message: unknown): Frames | null {
  const isFrames =
    typeof message === "object" && message !== null && "type" in message && message.type === "frames";
  return isFrames ? (message as unknown as Frames) : null;
}
