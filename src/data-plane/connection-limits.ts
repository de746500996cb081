// Which limits hold for a connection: looked up by the names of its tier and route in the configuration of
// the moment, and joined with the buckets that its grant names.

import type { BucketCells } from "../shared-memory/channel.ts";
import type { BucketView } from "../shared-memory/bucket-table.ts";
import type { Bucket, Limit } from "../shared-memory/gcra.ts";
import type { ControlFrameRate } from "./control-frame-limit.ts";
import type { GateLimits, LimitName } from "./message-gate.ts";
import type { Settings } from "./settings.ts";

export interface LimitedConnection {
  readonly tier: string;
  /** Id of the route. */
  readonly route: string;
  readonly buckets: BucketCells;
  /** Dropping a message garbles none of the later ones. */
  readonly canDrop: boolean;
}

/** Whose the buckets are, in their order: one for all connections, each of which has its limits for long. */
const TIER_FIRST: readonly LimitName[] = ["tier", "route"];
const ROUTE_ONLY: readonly LimitName[] = ["route"];

/** What the client of a connection is held to. */
export interface SourceLimits {
  /** Null for no limit. */
  readonly messages: GateLimits | null;
  /** Bytes of payload on the wire, summed over fragments; Infinity for no limit. */
  readonly maxMessageBytes: number;
  /** Null for no limit. */
  readonly controlFrames: ControlFrameRate | null;
}

export function limitsOf(connection: LimitedConnection, settings: Settings, view: BucketView): SourceLimits {
  const { maxMessageSize, controlFrames } = settings.config.limits;
  return {
    messages: messageLimitsOf(connection, settings, view),
    maxMessageBytes: maxMessageSize ?? Number.POSITIVE_INFINITY,
    controlFrames,
  };
}

/**
 * Null where nothing is limited. A tier that a reload took away is the default tier, a route that it took
 * away limits nothing. A bucket that the grant does not name yet limits nothing until it does.
 */
function messageLimitsOf(
  connection: LimitedConnection,
  settings: Settings,
  view: BucketView,
): GateLimits | null {
  const { buckets, canDrop } = connection;
  const tier = settings.tier(connection.tier);
  const route = settings.routes.find(connection.route);
  const ofTier = bucketOf(buckets.tier, tier?.messages, view);
  const ofRoute = bucketOf(buckets.route, route?.messages, view);
  const messages = [ofTier, ofRoute].filter((bucket) => bucket !== null);
  const bytes = bucketOf(buckets.bytes, tier?.bytes, view);
  if (messages.length === 0 && bytes === null) return null;
  const { onExceed, maxDelay } = settings.config.limits;
  const action = route?.messages?.onExceed ?? onExceed;
  return {
    messages,
    names: ofTier === null ? ROUTE_ONLY : TIER_FIRST,
    bytes,
    onExceed: action === "drop" && !canDrop ? "delay" : action,
    maxDelayMs: maxDelay,
  };
}

function bucketOf(cell: number | null, limit: Limit | null | undefined, view: BucketView): Bucket | null {
  return cell === null || limit === null || limit === undefined ? null : view.bucket(cell, limit);
}

/** Whether messages of this tier and route may be dropped, so that compression must allow for it. */
export function mayDrop(tierName: string, routeId: string, settings: Settings): boolean {
  const tier = settings.tier(tierName);
  const route = settings.routes.find(routeId);
  const isLimited = (tier?.messages ?? route?.messages ?? null) !== null;
  return isLimited && (route?.messages?.onExceed ?? settings.config.limits.onExceed) === "drop";
}
