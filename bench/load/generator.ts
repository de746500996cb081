// The load generator, a process of its own: `generator.ts PORT`.

import type { LoadCommand, LoadReport } from "./commands.ts";
import { Load } from "./load.ts";
import { serve } from "./serve.ts";

const load = new Load(Number(process.argv[2]));

serve<LoadCommand, LoadReport>((command) => load.execute(command));
