// The flooding user and the backend that counts what gets through to it: one process, so that there is one
// clock. It tells its parent the backend's port first.

import type { Flood, FloodReport } from "./commands.ts";
import { flood } from "./flood.ts";
import { serve } from "./serve.ts";
import { Sink } from "./sink.ts";

const sink = await Sink.listen();

serve<Flood, FloodReport>((command) => flood(command, sink));
process.send?.(sink.port);
