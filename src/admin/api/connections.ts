// `/api/connections`: what is open, and closing one of it.

import type { Oversight } from "../../control-plane/oversight.ts";
import { ApiError, type ApiAnswer, type ApiRequest, type Endpoint, limitOf } from "./endpoint.ts";
import { closeWordsOf } from "./close-words.ts";

export interface ConnectionSources {
  readonly oversight: Pick<Oversight, "connections" | "closeConnection">;
}

const DEFAULT_LIMIT = 100;
const MAX_LIMIT = 1_000;

export function connectionEndpoints({ oversight }: ConnectionSources): Endpoint[] {
  return [
    { method: "GET", path: "/api/connections", answer: (request) => list(request, oversight) },
    {
      method: "DELETE",
      path: "/api/connections/:id",
      answer: ({ url }, names) => {
        if (oversight.closeConnection(names("id"), closeWordsOf(url)))
          return { status: 200, body: { closed: 1 } };
        throw new ApiError(404, "not_found", "no such connection");
      },
    },
  ];
}

/** `total` counts all that fit, beyond the limit too. */
async function list({ url }: ApiRequest, oversight: Pick<Oversight, "connections">): Promise<ApiAnswer> {
  const { searchParams } = url;
  const filter = {
    user: searchParams.get("user"),
    tier: searchParams.get("tier"),
    pool: searchParams.get("pool"),
    backend: searchParams.get("backend"),
  };
  return {
    status: 200,
    body: await oversight.connections(filter, limitOf(url, { usual: DEFAULT_LIMIT, max: MAX_LIMIT })),
  };
}
