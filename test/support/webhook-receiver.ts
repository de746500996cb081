// A receiver of webhooks: keeps what is posted to it, and answers as a test says.
import { once } from "node:events";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";

import { onCleanup } from "./cleanup.ts";
import { until } from "./until.ts";

interface Post {
  readonly body: unknown;
  readonly headers: IncomingMessage["headers"];
  readonly path: string;
}

/** A status; `hang` never answers. */
export type WebhookAnswer = number | "hang" | "reset";

export class WebhookReceiver {
  readonly url: string;
  /** In the order in which they came. */
  readonly posts: Post[] = [];

  constructor(url: string) {
    this.url = url;
  }

  /** The post with this index (0 is the first), once it has come. */
  async post(index: number): Promise<Post> {
    return until(`post ${index} to the webhook`, () => this.posts[index]);
  }
}

/** @param answers one each in order, the last for all that follow */
export async function startWebhookReceiver(...answers: readonly WebhookAnswer[]): Promise<WebhookReceiver> {
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const answer = answers[Math.min(receiver.posts.length, answers.length - 1)] ?? 204;
      const body: unknown = JSON.parse(Buffer.concat(chunks).toString());
      receiver.posts.push({ body, headers: request.headers, path: request.url ?? "" });
      if (answer === "reset") request.socket.destroy();
      else if (answer !== "hang") response.writeHead(answer).end("thank you");
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const receiver = new WebhookReceiver(`http://127.0.0.1:${port}/hook/secret-in-its-path`);
  onCleanup("the webhook receiver", async () => {
    server.closeAllConnections();
    if (!server.listening) return;
    server.close();
    await once(server, "close");
  });
  return receiver;
}
