// Who competes, in the order of each round.

import { caddy } from "./caddy.ts";
import { haproxy } from "./haproxy.ts";
import { httpProxy } from "./http-proxy.ts";
import { nginx } from "./nginx.ts";
import type { Peer } from "./peer.ts";
import { weir, weirOnTwoThreads, weirWithLimits } from "./weir.ts";
import { wsRelay } from "./ws-relay.ts";

/** What every ratio is to. */
export const REFERENCE = "haproxy";

export const ROSTER: readonly Peer[] = [
  haproxy(1),
  weir,
  nginx,
  caddy,
  httpProxy,
  wsRelay,
  haproxy(2),
  weirOnTwoThreads,
  weirWithLimits,
];
