// A user as a request to the API names it.

import { ApiError } from "./endpoint.ts";

/** No user has a longer name or an empty one, nor one with control characters or line ends: they would break a log or a terminal. */
const MAX_USER_BYTES = 256;
const UNUSABLE = /[\p{Cc}\p{Zl}\p{Zp}\p{Cs}]/u;

/** Throws ApiError for what can be no user's name. */
export function checkedUser(user: string): string {
  if (user !== "" && Buffer.byteLength(user) <= MAX_USER_BYTES && !UNUSABLE.test(user)) return user;
  throw new ApiError(400, "bad_request", "no user can have this name");
}
