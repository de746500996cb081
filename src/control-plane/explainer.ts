// Explains what would become of a request that nobody has sent: one thread says how far it would get, and
// what admission would make of it is seen here.

import type { Config } from "../config/schema.ts";
import type { AskedRequest, RequestExplanation } from "../shared-memory/explanation.ts";
import type { Admission } from "./admission.ts";
import { foresee, type Foresight } from "./foresight.ts";
import type { Questions } from "./questions.ts";
import type { Thread } from "./thread.ts";

interface ExplainerOptions {
  readonly config: () => Config;
  readonly admission: Admission;
  readonly threads: { readonly all: Iterable<Thread> };
  readonly questions: Pick<Questions, "ask">;
}

interface Explanation extends RequestExplanation {
  /** Null where it does not come to that. */
  readonly foresight: Foresight | null;
}

export class Explainer {
  readonly #options: ExplainerOptions;

  constructor(options: ExplainerOptions) {
    this.#options = options;
  }

  /** Null where no thread can tell, or none in time. */
  async explain(asked: AskedRequest): Promise<Explanation | null> {
    const { config, admission, threads, questions } = this.#options;
    const [thread] = threads.all;
    const answer = thread && (await questions.ask(thread, { kind: "explanation", asked }));
    if (answer?.kind !== "explanation") return null;
    const { explanation } = answer;
    const { admit } = explanation;
    return { ...explanation, foresight: admit === null ? null : foresee(config(), admission, admit) };
  }
}
