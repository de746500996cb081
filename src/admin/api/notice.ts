// `/api/notice`: a message of the administrator's to the clients of a route or tier.

import { z } from "zod";
import type { Config } from "../../config/schema.ts";
import type { Oversight } from "../../control-plane/oversight.ts";
import { ApiError, type ApiAnswer, type ApiRequest, type Endpoint } from "./endpoint.ts";

export interface NoticeSources {
  readonly config: () => Config;
  readonly oversight: Pick<Oversight, "notice">;
}

const MAX_TEXT_CHARACTERS = 4_096;

const noticeSettings = z.strictObject({
  text: z.string().min(1).max(MAX_TEXT_CHARACTERS),
  route: z.string().nullable().default(null),
  tier: z.string().nullable().default(null),
});

export function noticeEndpoints(sources: NoticeSources): Endpoint[] {
  return [{ method: "POST", path: "/api/notice", answer: (request) => notice(request, sources) }];
}

async function notice({ body }: ApiRequest, { config, oversight }: NoticeSources): Promise<ApiAnswer> {
  const settings = noticeSettings.safeParse(await body());
  if (!settings.success) throw new ApiError(400, "bad_request", z.prettifyError(settings.error));
  const { text, route, tier } = settings.data;
  const { routes, tiers } = config();
  if (route !== null && !routes.some(({ id }) => id === route)) {
    throw new ApiError(404, "not_found", "no such route");
  }
  if (tier !== null && !Object.hasOwn(tiers, tier)) throw new ApiError(404, "not_found", "no such tier");
  return { status: 200, body: { clients: await oversight.notice(text.toWellFormed(), route, tier) } };
}
