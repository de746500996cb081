// What `weir --help` prints.

export const HELP = `Weir balances WebSocket connections over backends.

  weir run --config FILE              run with a configuration file ("run" may be left out)
  weir --listen ADDRESS --to URL [--admin-port N]
                                      run without a file; --listen and --to may be repeated
  weir run --config FILE --takeover   start beside a running Weir and replace it: see pidFile
  weir check --config FILE            validate a file: exit code 0, or 1 with every error
  weir demo [--port N] [--admin-port N]
                                      two small backends, Weir in front, a page to try it
  weir schema                         print the JSON Schema of the configuration, for editors
  weir --help, weir --version

Talking to a Weir that runs:

  weir status [--json]                what it does at the moment
  weir top [--once]                   the same, live; q or Ctrl-C ends it
  weir tap --user USER | --connection ID [--json]
                                      frames as they pass: their headers, never their payload
  weir explain URL [-H "NAME: VALUE"] [--from ADDRESS] [--json]
                                      what would become of a request: route, user, limits, backend
  weir drain POOL/BACKEND [--wait[=DURATION]]
                                      no new work for a backend; --wait ends when it is empty
  weir activate POOL/BACKEND          give it work again
  weir reload                         read the configuration file again
  weir check --config FILE --against  what a reload to this file would do

  --admin URL (or WEIR_ADMIN) says where it is: http://127.0.0.1:9347 by default, or unix:/path.
  --token-file FILE, WEIR_TOKEN or --token TOKEN says its admin.token; others on the machine can
  read the last one in the list of processes.

-c is short for --config, -h for --help, -v for --version.
Example: weir --listen :8080 --to ws://localhost:3001 --to ws://localhost:3002

Signals: SIGTERM and SIGINT drain and exit with 0, a second one exits at once; SIGHUP reloads the file.
Exit codes: 0 fine, 1 bad configuration or usage, or refused, 69 cannot reach Weir, 70 internal failure,
71 cannot bind, 75 the time of --wait is over, 77 not allowed to.
`;
