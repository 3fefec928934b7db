// Follows the feed, and asks for the live parts of the page again once events were accepted that concern them.
import { fetchPage } from "./dialogs.js";
import { showTimes } from "./times.js";

const PAUSE_MILLISECONDS = 1_500; // between two reads of the page, however many events come
const POLL_MILLISECONDS = 10_000; // no event of the feed tells of a refused event, a silent locker or a new key

const { body } = document;
const status = document.getElementById("status");
const positionOf = ({ dataset: { position } }) => (position === undefined ? null : Number(position));
const hasStream = () => "stream" in body.dataset;
const isOpen = () => source?.readyState === EventSource.OPEN;
const isFeed = () => document.querySelector("[data-feed]") !== null; // its rows come with the events
let shown = positionOf(body);
let newest = shown; // the position after which the stream goes on
let source = null;
let timer = 0; // of the next read, or of the next attempt to open the stream
let poller = 0;
let reads = 0; // counts reads, so that an older response overwrites no newer one
let isReading = false;
let isLost = false; // the last read has failed, or on the page of the feed its stream
let isHeld = false; // a part in use is older than the others
let isPaused = false;
let readAt = 0;

export function followFeed() {
  if (!("liveParts" in body.dataset) || !status) return;
  addPauseButton();
  document.addEventListener("visibilitychange", () => (document.hidden ? stop() : start(true)));
  document.addEventListener("lockstream:filtered", ({ detail }) => followFiltered(detail));
  if (!document.hidden) start(false);
}

// Pauses the page, or goes on. Returns whether that has changed anything. A listener may prevent it.
export function setPaused(isWanted) {
  if (!document.getElementById("pause") || isPaused === isWanted) return false;
  const change = new CustomEvent("lockstream:pause", { detail: isWanted, cancelable: true });
  if (!document.dispatchEvent(change)) return false;
  isPaused = isWanted;
  if (isPaused) clearInterval(poller);
  else if (!document.hidden) start(true);
  show();
  return true;
}

// A paused page has a stream as well, which counts the events.
function start(isBehind) {
  clearTimeout(timer);
  timer = 0;
  if (hasStream()) openStream();
  if (!isPaused) {
    if (isBehind) readSoon();
    poll();
  }
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

// A list of the feed has every event up to the position of its page, so the stream goes on there.
function followFiltered(page) {
  if (positionOf(page) !== null) showPosition(positionOf(page));
  if (isFeed()) {
    newest = shown;
    body.dataset.stream = page.dataset.stream;
    closeStream();
    if (!document.hidden) start(false);
  }
  show();
}

function poll() {
  clearInterval(poller);
  poller = setInterval(() => {
    if (Date.now() - readAt <= POLL_MILLISECONDS / 2) return;
    isLost ||= isReading && !isFeed(); // the last read has no response yet
    readSoon();
    show();
  }, POLL_MILLISECONDS);
}

function openStream() {
  if (source) return;
  source = new EventSource(`${body.dataset.console}/api/events/stream?after=${newest ?? "head"}${body.dataset.stream}`);
  source.addEventListener("message", (message) => {
    newest = Math.max(newest, Number(message.lastEventId));
    document.dispatchEvent(new CustomEvent("lockstream:event", { detail: message.data }));
    if (isPaused) show();
    else readSoon();
  });
  source.addEventListener("open", () => {
    if (isFeed()) isLost = false;
    else if (isLost || newest === null) readSoon(); // events may have come before a stream that begins at the head
    show();
  });
  source.addEventListener("error", () => {
    if (source?.readyState === EventSource.CLOSED) {
      stop();
      isLost ||= isFeed();
      timer = setTimeout(() => start(true), POLL_MILLISECONDS);
    }
    show();
    read(); // it tells whether the key is still accepted, and whether the server is away
  });
}

function readSoon() {
  if (isFeed()) return showPosition(newest);
  if (timer) return;
  timer = setTimeout(() => {
    timer = 0;
    read();
  }, Math.max(100, readAt + PAUSE_MILLISECONDS - Date.now()));
}

async function read() {
  readAt = Date.now();
  isReading = true;
  const number = ++reads;
  const url = location.href;
  const page = await fetchPage(url).catch(() => null);
  if (number !== reads) return;
  isReading = false;
  if (!page) isLost ||= !isFeed() || !isOpen();
  else if (!isFeed()) {
    isLost = false;
    if (!isPaused && url === location.href) isHeld = !replaceParts(page, "[data-live]", isInUse);
  }
  show();
}

// Puts the parts of a page in the place of the old ones. Returns false if an old part is kept that differs.
export function replaceParts(page, selector, isKept = () => false) {
  let isWhole = true;
  for (const part of document.querySelectorAll(selector)) {
    const fresh = part.id && page.getElementById(part.id);
    if (!fresh) continue;
    showTimes(part);
    showTimes(fresh);
    openDetails(part, fresh);
    if (fresh.innerHTML === part.innerHTML) continue;
    if (isKept(part)) isWhole = false;
    else replacePart(part, fresh);
  }
  const position = positionOf(page.body);
  if (position === null) return isWhole;
  if (isWhole) showPosition(position);
  else newest = Math.max(newest, position);
  return isWhole;
}

// What a person has opened stays open.
function openDetails(part, fresh) {
  const old = part.querySelectorAll("details");
  fresh.querySelectorAll("details").forEach((one, index) => old[index] && (one.open = old[index].open));
}

function isInUse(part) {
  const selection = getSelection();
  const isSelected = !selection.isCollapsed && selection.containsNode(part, true);
  return isSelected || part.querySelector("form :focus, input:checked") !== null;
}

function replacePart(part, fresh) {
  const { activeElement } = document;
  const href = part.contains(activeElement) ? activeElement.getAttribute("href") : null;
  const summary = [...part.querySelectorAll("summary")].indexOf(activeElement);
  part.replaceChildren(...fresh.childNodes);
  const link = href && part.querySelector(`a[href="${CSS.escape(href)}"]`);
  (link || part.querySelectorAll("summary")[summary])?.focus({ preventScroll: true });
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
  state.setAttribute("role", "status"); // the position beside it is not announced
  button.setAttribute("aria-keyshortcuts", "p");
  button.addEventListener("click", () => setPaused(!isPaused));
  status.prepend(shape, state);
  status.append(button);
}

function show() {
  const [name, text] = state();
  status.className = `status status--${name}`;
  status.querySelector(".status__state").textContent = text;
  status.querySelector("#pause").textContent = isPaused ? "Go on" : "Pause";
}

// The shape and the words of the bar.
function state() {
  const behind = shown === null ? "" : `, ${Math.max(0, newest - shown).toLocaleString("en")} behind`;
  if (isPaused && !hasStream()) return ["paused", "Paused"];
  if (isPaused) return ["paused", isOpen() ? `Paused${behind}` : "Paused, not connected"];
  if (isLost) return ["off", "Not connected"];
  if (source?.readyState === EventSource.CONNECTING) return ["off", "Connecting"];
  if (isHeld) return ["paused", `On hold${behind}`];
  return ["live", "Live"];
}
