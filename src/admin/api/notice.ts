// `/api/notice`: a message of the administrator's to the clients of a route or tier.

import { z } from "zod";
import type { Config } from "../../config/schema.ts";
import type { Oversight } from "../../control-plane/oversight.ts";
import { checked } from "./checked.ts";
import { ApiError, type ApiAnswer, type ApiRequest, type Endpoint } from "./endpoint.ts";

export interface NoticeSources {
  readonly config: () => Config;
  readonly oversight: Pick<Oversight, "notice">;
}

const MAX_TEXT_CHARACTERS = 4_096;

/** In an answer that says which routes or tiers there are. */
const MAX_NAMED = 20;

const noticeSettings = z.strictObject({
  text: z.string().min(1).max(MAX_TEXT_CHARACTERS),
  route: z.string().nullable().default(null),
  tier: z.string().nullable().default(null),
});

export function noticeEndpoints(sources: NoticeSources): Endpoint[] {
  return [{ method: "POST", path: "/api/notice", answer: (request) => notice(request, sources) }];
}

async function notice({ body }: ApiRequest, { config, oversight }: NoticeSources): Promise<ApiAnswer> {
  const { text, route, tier } = checked(noticeSettings, await body());
  const { routes, tiers } = config();
  const ids = routes.map(({ id }) => id);
  checkIsThere("route", route, ids);
  checkIsThere("tier", tier, Object.keys(tiers));
  return { status: 200, body: { clients: await oversight.notice(text.toWellFormed(), route, tier) } };
}

/** Throws ApiError, which names some that are: the ids of routes are made of their hosts and paths. */
function checkIsThere(what: "route" | "tier", name: string | null, names: readonly string[]): void {
  if (name === null || names.includes(name)) return;
  const first = names.slice(0, MAX_NAMED).join(", ");
  const rest = names.length > MAX_NAMED ? " …" : "";
  throw new ApiError(404, "not_found", `no such ${what}; there is ${first}${rest}`);
}
