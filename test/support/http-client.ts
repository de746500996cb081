// Plain HTTP by Node's own client: one request, its whole answer.
import { type IncomingHttpHeaders, type IncomingMessage, request, type RequestOptions } from "node:http";

interface HttpAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

interface HttpQuestion extends RequestOptions {
  readonly body?: Buffer | string;
}

/** Sends it on a socket of its own, unless an agent is given. */
export async function ask(url: string, { body, ...options }: HttpQuestion = {}): Promise<HttpAnswer> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  request(url, { agent: false, ...options }, resolve)
    .on("error", reject)
    .end(body);
  const response = await promise;
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(Buffer.from(chunk));
  return { status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks) };
}
