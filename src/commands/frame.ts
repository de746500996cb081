// One frame of `weir top`: as many lines of the overview as a window has room for.

import type { Status } from "../admin/status.ts";
import type { BusyUser } from "../control-plane/oversight.ts";
import { type Line, piece } from "./lines.ts";
import { poolLines, summaryLines, userLines } from "./overview.ts";

/** What the stream tells once a second. */
export interface News {
  readonly status: Status;
  readonly busiest: readonly BusyUser[];
}

interface FrameOptions {
  readonly address: string;
  readonly width: number;
  readonly height: number;
  /** What to say at the top; null for nothing. */
  readonly note: string | null;
}

/** So many lines at the most: where they are too many, pools and users share what is left. */
export function frameOf({ status, busiest }: News, { address, width, height, note }: FrameOptions): Line[] {
  const head = [
    ...(note === null ? [] : [[piece(note, "bad")]]),
    ...summaryLines(status, { address, width }),
  ];
  const users = userLines(busiest, width);
  const pools = poolLines(status, width);
  const room = Math.max(0, height - head.length);
  const usersRoom = Math.min(users.length, Math.max(Math.floor(room / 2), room - pools.length));
  return [
    ...head.slice(0, height),
    ...shortened(pools, room - usersRoom),
    ...shortened(users, Math.max(0, Math.min(usersRoom, room))),
  ];
}

function shortened(lines: readonly Line[], room: number): readonly Line[] {
  if (lines.length <= room) return lines;
  if (room <= 0) return [];
  const surplus = lines.length - room + 1;
  return [...lines.slice(0, room - 1), [piece(`  … ${surplus} lines more`, "dim")]];
}
