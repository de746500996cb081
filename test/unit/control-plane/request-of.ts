// A connection's question to admission, for tests that care about some of its fields only.
import type { AdmitRequest } from "../../../src/shared-memory/channel.ts";

export function requestOf(more: Partial<AdmitRequest> = {}): AdmitRequest {
  return {
    id: 1,
    kind: "connection",
    pool: "chat",
    route: "*/*",
    tier: "default",
    user: "ip:127.0.0.1",
    cookie: null,
    isSharedAddress: false,
    network: "127.0.0.0/24",
    tried: [],
    ...more,
  };
}
