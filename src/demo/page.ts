// The demo's page: markup and style. A template string rather than a file, so that it is in the built
// package without a copy step. It asks nothing of other hosts and of paths above its own.
import { pageScript } from "./page-script.ts";

export const page = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Weir demo</title>
<link rel="icon" href="data:,">
<style>
:root {
  color-scheme: light dark;
  --text: light-dark(#1c2429, #e4eaed);
  --soft: light-dark(#5b6870, #98a5ad);
  --page: light-dark(#f3f6f7, #12181b);
  --card: light-dark(#ffffff, #1b2327);
  --line: light-dark(#d5dde1, #303b41);
  --first: light-dark(#0b7285, #3bb5c9);
  --second: light-dark(#b35c00, #f0a24b);
  --bad: light-dark(#b42318, #ff8a7a);
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 64rem; background: var(--page); color: var(--text);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { margin: 0; font-size: 1.4rem; }
h2 { margin: 0 0 .5rem; font-size: 1rem; }
p { margin: .25rem 0 .75rem; color: var(--soft); }
main { display: grid; gap: 1rem; }
@media (min-width: 48rem) { main { grid-template-columns: 1fr 1fr; } }
section { min-width: 0; padding: 1rem; background: var(--card); border: 1px solid var(--line); border-radius: .6rem; }
button, input { font: inherit; color: inherit; min-height: 2.5rem; padding: .3rem .8rem; border-radius: .4rem;
  border: 1px solid var(--line); background: var(--page); }
button { cursor: pointer; }
button:disabled { opacity: .5; cursor: default; }
:focus-visible { outline: 2px solid var(--first); outline-offset: 2px; }
input { min-width: 0; flex: 1; }
.row { display: flex; flex-wrap: wrap; gap: .5rem; align-items: center; margin-bottom: .5rem; }
.row.tight { flex-wrap: nowrap; }
#name { max-width: 8rem; }
#chat { height: 16rem; overflow-y: auto; margin: 0 0 .5rem; padding: .5rem; list-style: none;
  border: 1px solid var(--line); border-radius: .4rem; overflow-wrap: anywhere; }
.tag { padding: 0 .4rem; border-radius: .3rem; font-size: .85rem; border: 1px solid currentColor; }
.server1 { color: var(--first); }
.server2 { color: var(--second); }
.ended { color: var(--bad); }
.bars { display: grid; grid-template-columns: auto 1fr auto; gap: .4rem .6rem; align-items: center; }
.track { height: 1rem; background: var(--page); border-radius: .3rem; overflow: hidden; }
.fill { height: 100%; width: 0; background: currentColor; transition: width .2s; }
output { font-variant-numeric: tabular-nums; }
</style>
</head>
<body>
<header>
<h1>Weir demo</h1>
<p>Two chat backends behind one Weir. This page came through it too.</p>
</header>
<main>
<section>
<h2>Chat</h2>
<div class="row">
<button id="connect">Connect</button>
<output id="state" aria-live="polite">not connected</output>
</div>
<ul id="chat" aria-live="polite" aria-label="messages"></ul>
<form id="composer" class="row tight">
<input id="name" aria-label="your name" value="guest" maxlength="20">
<input id="text" aria-label="message" placeholder="say something" maxlength="500" autocomplete="off">
<button>Send</button>
</form>
</section>
<section>
<h2>Balancing</h2>
<p>Open many connections, each for a user of its own, and see which backend each of them got. You come back
to yours when you connect again.</p>
<div class="row">
<button id="more">Open 10 more</button>
<button id="fewer">Close 5</button>
<output id="total">0 open</output>
</div>
<div class="bars">
<span class="server1">server1</span>
<div class="track server1"><div class="fill" id="bar-server1"></div></div><output id="count-server1">0</output>
<span class="server2">server2</span>
<div class="track server2"><div class="fill" id="bar-server2"></div></div><output id="count-server2">0</output>
</div>
</section>
<section>
<h2>How a connection ends</h2>
<p>Each end is shown in the chat with the code and reason that this browser got.</p>
<div class="row">
<button id="leave" disabled>I leave (4001)</button>
<button id="dismiss" disabled>The backend closes (4000)</button>
<button id="vanish" disabled>The backend vanishes</button>
</div>
<p>A backend that vanishes sends no Close; Weir sends one for it: 1012 “backend lost”. Stop the demo with
Ctrl-C to see 1001 “server shutting down”.</p>
</section>
<section>
<h2>Flood</h2>
<p>Messages as fast as the browser can, each of which the backend sends back. A guest may send 5 at once,
then 2 a second: the others wait, in order, and none is lost.</p>
<div class="row">
<button id="flood" disabled>Send 12</button>
<output id="flooded"></output>
</div>
</section>
</main>
<script type="module">${pageScript}</script>
</body>
</html>
`;
