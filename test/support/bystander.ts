// A connection that has no part in what a test does to Weir: the proof that bad input harms nobody else.
import { openClient, type WsClient } from "./ws-client.ts";

export class Bystander {
  readonly #client: WsClient;
  #asked = 0;

  constructor(client: WsClient) {
    this.#client = client;
  }

  /** Its connection still carries messages both ways, and has carried no others. */
  async expectUnharmed(): Promise<void> {
    this.#asked += 1;
    const text = `still here, ${this.#asked}`;
    const heard = await this.#client.ask(text);
    if (heard !== text) throw new Error(`the bystander hears ${heard} for ${text}`);
    if (this.#client.waitingMessages > 0) throw new Error("the bystander hears what it did not ask for");
  }
}

/** Opens it through Weir; the backend must be one that echoes. */
export async function openBystander(url: string): Promise<Bystander> {
  const bystander = new Bystander(await openClient(url));
  await bystander.expectUnharmed();
  return bystander;
}
