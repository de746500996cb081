// What a tap is told of a frame. It never holds payload.

/**
 * - `passed`: it went on
 * - `delayed`: it waits for its tokens
 * - `dropped`: a limit swallowed it
 * - `consumed`: it was for Weir itself, as a Pong that answers its own Ping is
 * - `refused`: it ends the connection
 */
export type FrameFate = "passed" | "delayed" | "dropped" | "consumed" | "refused";

export interface TappedFrameView {
  /** ISO 8601. */
  readonly time: string;
  readonly connection: string;
  readonly user: string;
  readonly direction: "client_to_backend" | "backend_to_client";
  readonly opcode: string;
  readonly fin: boolean;
  /** Bytes of payload on the wire. */
  readonly length: number;
  readonly compressed: boolean;
  readonly done: FrameFate;
  /** What delayed, dropped or refused it, or would have (`onExceed: log`). */
  readonly limit: string | null;
}

/** Which connections a tap is on: all of a user, those that open later as well, or one. */
export type TapFilter = { readonly user: string } | { readonly connection: number };

/** Frames in the order in which they came. */
export interface TappedBatch {
  readonly tap: number;
  /** JSON texts of TappedFrameView, a comma between them. */
  readonly frames: string;
  readonly count: number;
  /** Frames that came before these, and were too many to be told. */
  readonly lost: number;
  /** The one connection that the tap is on is over. */
  readonly isOver: boolean;
}
