// Preloaded into a Weir process (`--import`): it stops, as SIGSTOP stops it, as soon as its main thread listens
// on the port in WEIR_TEST_STOPS_AT, and hangs with that in its hands.
import net from "node:net";
import process from "node:process";
import { isMainThread } from "node:worker_threads";

const port = Number(process.env["WEIR_TEST_STOPS_AT"]);
const listen = Reflect.get(net.Server.prototype, "listen");

if (isMainThread) {
  net.Server.prototype.listen = function (this: net.Server, ...args: unknown[]): net.Server {
    const [options] = args;
    const isIt =
      typeof options === "object" && options !== null && "port" in options && options.port === port;
    if (isIt) this.prependOnceListener("listening", () => process.kill(process.pid, "SIGSTOP"));
    return Reflect.apply(listen, this, args) as net.Server;
  };
}
