// `/api/drain`: the shutdown, as SIGTERM begins it.

import type { Endpoint } from "./endpoint.ts";

export interface DrainSources {
  /** Begins the shutdown; once is as good as twice. */
  readonly drain: () => void;
}

export function drainEndpoints({ drain }: DrainSources): Endpoint[] {
  return [
    {
      method: "POST",
      path: "/api/drain",
      answer: () => {
        drain();
        return { status: 202, body: { draining: true } };
      },
    },
  ];
}
