// Looks into the key file that tokens are verified with, so that a wrong one is found with the other errors
// and not by the first client.

import type { Finding } from "./problems.ts";
import type { Config } from "./schema.ts";
import { reasonOf } from "./source-files.ts";
import { allowedOf, KeyError, publicKey } from "./verification-key.ts";

/** @param read the text of a file by its absolute path */
export function checkKeyFiles({ identity }: Config, read: (path: string) => string): Finding[] {
  const { publicKey: file = null, algorithms = null } = identity.jwt ?? {};
  if (file === null) return [];
  const path = ["identity", "jwt", "publicKey"];
  try {
    const fitting = publicKey(read(file)).algorithms;
    return (algorithms ?? []).flatMap((algorithm, index) => {
      if (allowedOf(fitting, [algorithm]).length > 0) return [];
      const message = `does not fit the key in ${file}, which is for ${fitting.join(", ")}`;
      return [{ path: ["identity", "jwt", "algorithms", index], message: `${algorithm} ${message}` }];
    });
  } catch (error) {
    const isOurs = error instanceof KeyError;
    return [{ path, message: isOurs ? `${file} ${error.message}` : `cannot be read: ${reasonOf(error)}` }];
  }
}
