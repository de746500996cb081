// Where the running Weir is, and with which token it is asked: from the command line, else from the
// environment, else the default.

import { readFileSync } from "node:fs";
import { UsageError } from "../command-line.ts";
import { reasonOf } from "../config/source-files.ts";
import type { RemoteOptions } from "./remote-command.ts";

export interface Remote {
  /** What HTTP requests go to, without a slash at its end. */
  readonly baseUrl: string;
  /** Path of a Unix socket to ask through; null for TCP. */
  readonly socketPath: string | null;
  /** As the person wrote it. */
  readonly shown: string;
  /** Headers that every request carries. */
  readonly headers: Readonly<Record<string, string>>;
}

type Environment = Readonly<Record<string, string | undefined>>;

const DEFAULT_ADMIN = "http://127.0.0.1:9347";

/** @throws UsageError */
export function resolveRemote(options: RemoteOptions, env: Environment): Remote {
  const isGiven = options.admin !== null;
  const shown = options.admin ?? (env.WEIR_ADMIN || DEFAULT_ADMIN);
  const place = parseAdmin(shown);
  if (place === null) {
    throw new UsageError(
      `${isGiven ? "--admin" : "WEIR_ADMIN"} needs a URL like ${DEFAULT_ADMIN} or unix:/path, not ${shown}`,
    );
  }
  return { ...place, shown, headers: headersWith(tokenOf(options, env)) };
}

function headersWith(token: string | null): Record<string, string> {
  if (token === null) return {};
  // Not shown, though it is wrong: it may be the right one but for a stray character.
  if (/\p{Cc}/u.test(token))
    throw new UsageError("the token has a control character, or is more than a line");
  // Node writes each character of a header as one byte.
  return { authorization: `Bearer ${Buffer.from(token).toString("latin1")}` };
}

function parseAdmin(text: string): Pick<Remote, "baseUrl" | "socketPath"> | null {
  if (text.startsWith("unix:")) {
    const socketPath = text.slice("unix:".length).replace(/^\/\/(?=\/)/, "");
    return socketPath === "" ? null : { baseUrl: "http://localhost", socketPath };
  }
  // An address as `admin.bind` has it.
  const url = URL.parse(/^[a-z]+:\/\//i.test(text) ? text : `http://${text}`);
  if (url === null || !/^https?:$/.test(url.protocol)) return null;
  if (`${url.username}${url.password}${url.search}${url.hash}` !== "") return null;
  return { baseUrl: url.href.replace(/\/+$/, ""), socketPath: null };
}

/** An empty variable is none. */
function tokenOf({ token, tokenFile }: RemoteOptions, env: Environment): string | null {
  if (token !== null) return token;
  if (tokenFile === null) return env.WEIR_TOKEN || null;
  let text: string;
  try {
    text = readFileSync(tokenFile, "utf8");
  } catch (error) {
    throw new UsageError(`--token-file ${tokenFile} cannot be read: ${reasonOf(error)}`);
  }
  const content = text.trim();
  if (content === "") throw new UsageError(`--token-file ${tokenFile} is empty`);
  return content;
}
