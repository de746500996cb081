// Users as a trusted peer forwards them, each from a network of its own.

const known: string[] = [];

/** The headers of this user: its name, and an address in a /24 that no other user has. */
export function headersOf(user: string): Record<"x-user-id" | "x-forwarded-for", string> {
  if (!known.includes(user)) known.push(user);
  return { "x-user-id": user, "x-forwarded-for": `10.0.${known.indexOf(user)}.1` };
}
