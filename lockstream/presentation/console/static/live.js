// Follows the feed, and asks for the live parts of the page again once events were accepted that concern them.
import { fetchPage } from "./dialogs.js";
import { showTimes } from "./times.js";

const PAUSE_MILLISECONDS = 1_500; // between two reads of the page, however many events come
const POLL_MILLISECONDS = 10_000; // no event of the feed tells of a refused event, a silent locker or a new key

const { body } = document;
const status = document.getElementById("status");
let shown = Number(body.dataset.position ?? 0);
let newest = shown;
let source = null;
let timer = 0; // of the next read, or of the next attempt to open the stream
let poller = 0;
let reads = 0; // counts reads, so that an older response overwrites no newer one
let isPaused = false;
let readAt = 0;

export function followFeed() {
  if (!("liveParts" in body.dataset) || !status) return;
  addPauseButton();
  document.addEventListener("visibilitychange", () => (document.hidden ? stop() : start(true)));
  document.addEventListener("lockstream:filtered", ({ detail }) => {
    if (detail === undefined || detail === body.dataset.stream) return;
    body.dataset.stream = detail;
    closeStream();
    if (!document.hidden) start(false);
  });
  if (!document.hidden) start(false);
}

function start(isBehind) {
  if (isPaused) return;
  if (isBehind) readSoon();
  if ("stream" in body.dataset) openStream();
  poll();
  show();
}

function stop() {
  closeStream();
  clearTimeout(timer);
  clearInterval(poller);
  timer = 0;
}

function closeStream() {
  source?.close();
  source = null;
}

function poll() {
  clearInterval(poller);
  poller = setInterval(() => Date.now() - readAt > POLL_MILLISECONDS / 2 && readSoon(), POLL_MILLISECONDS);
}

function openStream() {
  if (source) return;
  const after = Math.max(shown, newest) || "head";
  source = new EventSource(`${body.dataset.console}/api/events/stream?after=${after}${body.dataset.stream}`);
  source.addEventListener("message", (message) => {
    newest = Math.max(newest, Number(message.lastEventId));
    document.dispatchEvent(new CustomEvent("lockstream:event", { detail: message.data }));
    if (isPaused) show();
    else readSoon();
  });
  source.addEventListener("open", show);
  source.addEventListener("error", () => {
    show();
    if (source?.readyState === EventSource.CLOSED) {
      stop();
      timer = setTimeout(() => {
        timer = 0;
        start(true);
      }, POLL_MILLISECONDS);
    }
    read(); // it tells whether the key is still accepted
  });
}

function readSoon() {
  if (document.querySelector("[data-feed]")) return showPosition(newest); // its rows come with the events
  if (timer) return;
  timer = setTimeout(() => {
    timer = 0;
    read();
  }, Math.max(100, readAt + PAUSE_MILLISECONDS - Date.now()));
}

async function read() {
  readAt = Date.now();
  const number = ++reads;
  const url = location.href;
  try {
    const page = await fetchPage(url);
    if (page && !isPaused && number === reads && url === location.href) replaceParts(page);
  } catch {
    // The server is away: the stream connects again, and then the page is read.
  }
  show();
}

export function replaceParts(page, selector = "[data-live]") {
  for (const part of document.querySelectorAll(selector)) {
    const fresh = part.id && page.getElementById(part.id);
    if (!fresh) continue;
    showTimes(fresh);
    if (fresh.innerHTML === part.innerHTML || part.querySelector(":focus-within[data-keep], form :focus, input:checked")) continue;
    const focused = part.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
    part.replaceChildren(...fresh.childNodes);
    if (focused) part.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
  }
  const position = Number(page.body.dataset.position ?? 0);
  if (position) showPosition(position);
}

function showPosition(position) {
  shown = position;
  newest = Math.max(newest, shown);
  const text = status?.querySelector(".status__text b");
  if (text) text.textContent = shown.toLocaleString("en");
}

function addPauseButton() {
  const shape = Object.assign(document.createElement("span"), { className: "status__shape" });
  const state = Object.assign(document.createElement("span"), { className: "status__state" });
  const button = Object.assign(document.createElement("button"), { id: "pause", type: "button" });
  button.setAttribute("aria-keyshortcuts", "p");
  button.addEventListener("click", () => {
    isPaused = !isPaused;
    document.dispatchEvent(new CustomEvent("lockstream:pause", { detail: isPaused }));
    if (isPaused) clearInterval(poller);
    else start(true);
    show();
  });
  status.prepend(shape, state);
  status.append(button);
}

function show() {
  const isAway = source?.readyState === EventSource.CONNECTING;
  const name = isPaused ? "paused" : isAway ? "off" : "live";
  const behind = Math.max(0, newest - shown);
  status.className = `status status--${name}`;
  status.querySelector(".status__state").textContent =
    isPaused ? `Paused, ${behind.toLocaleString("en")} behind` : isAway ? "Connecting" : "Live";
  status.querySelector("#pause").textContent = isPaused ? "Go on" : "Pause";
}
