// What a command line asks of a Weir that runs.

/** A command for a Weir that runs. */
export type RemoteCommand = { readonly remote: RemoteOptions } & (
  | { readonly name: "status"; readonly json: boolean }
  | { readonly name: "top"; readonly once: boolean }
  | { readonly name: "tap"; readonly only: TapFilter; readonly json: boolean }
  | { readonly name: "explain"; readonly question: Question; readonly json: boolean }
  | { readonly name: "drain"; readonly backend: BackendName; readonly waitMs: number | null }
  | { readonly name: "activate"; readonly backend: BackendName }
  | { readonly name: "reload" }
  | { readonly name: "check-against"; readonly file: string }
);

/** Where the running Weir is and who asks, as far as the command line says. */
export interface RemoteOptions {
  readonly admin: string | null;
  readonly token: string | null;
  readonly tokenFile: string | null;
}

export interface BackendName {
  readonly pool: string;
  readonly id: string;
}

/** Whose frames; one of the two. */
export interface TapFilter {
  readonly user: string | null;
  readonly connection: string | null;
}

/** A request that nobody sends. */
export interface Question {
  readonly url: string;
  /** `Name: value`. */
  readonly headers: readonly string[];
  /** The peer's address; null for this machine's own. */
  readonly from: string | null;
}
