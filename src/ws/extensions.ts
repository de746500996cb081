// permessage-deflate (RFC 7692) where messages may be dropped: a compressor that carried its window over
// from a message that the backend never saw would garble the next one, so each message has to start anew.

import { type Extension, parseExtensions } from "./handshake.ts";

const PERMESSAGE_DEFLATE = "permessage-deflate";
const NO_CONTEXT_TAKEOVER = "client_no_context_takeover";

/**
 * The offer for the backend: permessage-deflate alone, in every variant with `client_no_context_takeover`
 * (RFC 7692 §7.1.1.2: the server's peer then starts each message anew). Undefined where nothing is left.
 */
export function offerForDropping(offer: string | undefined): string | undefined {
  const offers = (parseExtensions(offer ?? "") ?? []).filter(({ name }) => name === PERMESSAGE_DEFLATE);
  return offers.length === 0 ? undefined : formatExtensions(offers.map(withoutTakeover));
}

/** The backend's answer as the client gets it: it may demand what the client did not offer (§7.1.1.2). */
export function answerForDropping(answer: string): string {
  const agreed = parseExtensions(answer) ?? [];
  return formatExtensions(
    agreed.map((extension) =>
      extension.name === PERMESSAGE_DEFLATE ? withoutTakeover(extension) : extension,
    ),
  );
}

/** Whether the client was told to start each message anew, or there is no compression at all. */
export function canDropMessages(agreed: string | undefined): boolean {
  const extensions = parseExtensions(agreed ?? "");
  return (
    extensions !== null &&
    extensions.every(({ name, parameters }) => name === PERMESSAGE_DEFLATE && parameters.some(isNoTakeover))
  );
}

function withoutTakeover(extension: Extension): Extension {
  if (extension.parameters.some(isNoTakeover)) return extension;
  return {
    name: extension.name,
    parameters: [...extension.parameters, { name: NO_CONTEXT_TAKEOVER, value: null }],
  };
}

function isNoTakeover({ name }: Extension["parameters"][number]): boolean {
  return name === NO_CONTEXT_TAKEOVER;
}

/** The values were tokens when they were read, so none needs quotes. */
function formatExtensions(extensions: readonly Extension[]): string {
  return extensions
    .map(({ name, parameters }) =>
      [
        name,
        ...parameters.map((each) => (each.value === null ? each.name : `${each.name}=${each.value}`)),
      ].join("; "),
    )
    .join(", ");
}
