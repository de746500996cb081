// What the demo's page does, as the text of an inline module script. Everything that comes from a
// peer is put on the page as text, never as markup.

export const pageScript = `
const byId = (id) => document.getElementById(id);
// Relative to the page, so that it also works under a path prefix.
const socketUrl = new URL("chat", location.href);
socketUrl.protocol = location.protocol === "https:" ? "wss:" : "ws:";
// Each page is a user of its own, and keeps its backend when it connects again. Made of getRandomValues,
// since randomUUID is there on secure origins only.
const newUser = () => crypto.getRandomValues(new Uint32Array(1))[0].toString(36);
const urlFor = (user) => {
  const url = new URL(socketUrl);
  url.searchParams.set("user", user);
  return url;
};
const user = newUser();
const maxConnections = 200;
const messagesKept = 200;
const floodSize = 12;

let chat = null;
const extras = new Set();
let flood = { run: 0, answered: 0, startedAt: 0 };

function show(parts) {
  const item = document.createElement("li");
  for (const { text, className } of parts) {
    const span = document.createElement("span");
    span.textContent = text;
    if (className) span.className = className;
    item.append(span, " ");
  }
  const list = byId("chat");
  list.append(item);
  while (list.children.length > messagesKept) list.firstChild.remove();
  list.scrollTop = list.scrollHeight;
}

const tagOf = (backend) => ({ text: backend, className: "tag " + backend });

function showState() {
  const isOpen = chat !== null && chat.readyState === WebSocket.OPEN;
  byId("connect").disabled = chat !== null;
  for (const id of ["leave", "dismiss", "vanish"]) byId(id).disabled = !isOpen;
  byId("flood").disabled = !isOpen;
}

function showBalance() {
  const counts = { server1: 0, server2: 0 };
  const connections = chat === null ? [...extras] : [chat, ...extras];
  for (const { backend } of connections) if (backend in counts) counts[backend] += 1;
  const most = Math.max(1, counts.server1, counts.server2);
  for (const backend of ["server1", "server2"]) {
    byId("count-" + backend).textContent = counts[backend];
    byId("bar-" + backend).style.width = (100 * counts[backend]) / most + "%";
  }
  byId("total").textContent = counts.server1 + counts.server2 + " open";
}

function connect() {
  const socket = new WebSocket(urlFor(user));
  chat = socket;
  byId("state").textContent = "connecting";
  socket.onmessage = ({ data }) => onChatMessage(socket, JSON.parse(data));
  socket.onopen = showState;
  socket.onclose = ({ code, reason }) => {
    chat = null;
    byId("state").textContent = "not connected";
    show([{ text: "connection ended: " + code + (reason ? " “" + reason + "”" : ""), className: "ended" }]);
    showState();
    showBalance();
  };
  showState();
}

function onChatMessage(socket, message) {
  if (message.type === "welcome") {
    socket.backend = message.backend;
    byId("state").replaceChildren("connected to ", message.backend);
    show([{ text: "connected, answered by" }, tagOf(message.backend)]);
    showBalance();
  } else if (message.type === "echo") {
    onFloodEcho(message.text);
  } else if (message.type === "chat") {
    show([tagOf(message.backend), { text: (message.name || "someone") + ": " + message.text }]);
  } else {
    show([{ text: JSON.stringify(message) }]);
  }
}

function send(message) {
  if (chat === null || chat.readyState !== WebSocket.OPEN) return false;
  chat.send(JSON.stringify(message));
  return true;
}

function openExtra() {
  const socket = new WebSocket(urlFor(newUser()));
  extras.add(socket);
  socket.onmessage = ({ data }) => {
    const message = JSON.parse(data);
    if (message.type !== "welcome") return;
    socket.backend = message.backend;
    showBalance();
  };
  socket.onclose = ({ code, reason }) => {
    const wasExpected = socket.isLeaving;
    extras.delete(socket);
    if (!wasExpected) show([{ text: "an extra connection ended: " + code + " " + reason, className: "ended" }]);
    showBalance();
  };
}

// Answers to an earlier run that are still under way do not count.
function onFloodEcho(run) {
  if (run !== flood.run) return;
  flood.answered += 1;
  const seconds = ((performance.now() - flood.startedAt) / 1000).toFixed(2);
  byId("flooded").textContent = flood.answered + " of " + floodSize + " came back within " + seconds + " s";
}

byId("connect").onclick = connect;
byId("composer").onsubmit = (event) => {
  event.preventDefault();
  const text = byId("text").value;
  if (text !== "" && send({ type: "chat", name: byId("name").value, text })) byId("text").value = "";
};
byId("more").onclick = () => {
  for (let count = 0; count < 10 && extras.size < maxConnections; count++) openExtra();
};
byId("fewer").onclick = () => {
  for (const socket of [...extras].slice(0, 5)) {
    socket.isLeaving = true;
    socket.close(1000);
  }
};
byId("leave").onclick = () => chat?.close(4001, "I leave");
byId("dismiss").onclick = () => send({ type: "close" });
byId("vanish").onclick = () => send({ type: "vanish" });
byId("flood").onclick = () => {
  flood = { run: flood.run + 1, answered: 0, startedAt: performance.now() };
  for (let count = 0; count < floodSize; count++) send({ type: "echo", text: flood.run });
};

connect();
`;
