// `/api/users`: what is known of a user, its ban, and closing all of its connections.

import { z } from "zod";
import type { Oversight } from "../../control-plane/oversight.ts";
import {
  ApiError,
  checkedDuration,
  type ApiAnswer,
  type ApiRequest,
  type Endpoint,
  type Names,
} from "./endpoint.ts";
import { checked } from "./checked.ts";
import { checkedUser } from "./user-name.ts";
import { closeWordsOf } from "./close-words.ts";

export interface UserSources {
  readonly oversight: Pick<Oversight, "user" | "closeUser" | "ban" | "liftBan">;
}

const DEFAULT_BAN = "1h";

const banSettings = z.strictObject({
  for: z.string().default(DEFAULT_BAN),
  reason: z.string().max(500).nullable().default(null),
});

export function userEndpoints({ oversight }: UserSources): Endpoint[] {
  return [
    {
      method: "GET",
      path: "/api/users/:user",
      answer: async (_request, names) => {
        const user = await oversight.user(userOf(names));
        if (user === null) throw new ApiError(404, "not_found", "nothing is known of this user");
        return { status: 200, body: user };
      },
    },
    {
      method: "DELETE",
      path: "/api/users/:user/connections",
      answer: ({ url }, names) => {
        const words = closeWordsOf(url);
        return { status: 200, body: { closed: oversight.closeUser(userOf(names), words) } };
      },
    },
    {
      method: "PUT",
      path: "/api/users/:user/ban",
      answer: (request, names) => ban(request, names, oversight),
    },
    {
      method: "DELETE",
      path: "/api/users/:user/ban",
      answer: (_request, names) => {
        if (oversight.liftBan(userOf(names))) return { status: 200, body: { ban: null } };
        throw new ApiError(404, "not_found", "this user is not banned");
      },
    },
  ];
}

async function ban(
  { body }: ApiRequest,
  names: Names,
  oversight: Pick<Oversight, "ban">,
): Promise<ApiAnswer> {
  const user = userOf(names);
  const settings = checked(banSettings, (await body()) ?? {});
  const forMs = checkedDuration(settings.for, "for");
  if (forMs === 0) throw new ApiError(400, "bad_request", "for: is longer than no time");
  return { status: 200, body: oversight.ban(user, forMs, settings.reason) };
}

function userOf(names: Names): string {
  return checkedUser(names("user"));
}
