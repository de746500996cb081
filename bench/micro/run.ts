// The micro benches: one file each, run one after the other.

import { frameScannerBench } from "./frame-scanner.ts";
import { selectBench } from "./select.ts";
import { tapBench } from "./tap.ts";

export async function runMicroBenches(): Promise<void> {
  for (const create of [frameScannerBench, selectBench, tapBench]) {
    const bench = await create();
    await bench.run();
    console.log(bench.name);
    console.table(bench.table());
  }
}
