// The page of the feed: events that arrive are put on top. Texts of events become text, and never markup.
import { showTimes } from "./times.js";

const MAX_ROWS = 200;

export function growFeed() {
  let waiting = [];
  let isPaused = false;
  const add = () => {
    const feed = document.querySelector("[data-feed]"); // a filter replaces it
    const list = feed?.querySelector("ol");
    if (!list) return;
    const template = feed.querySelector("template[data-row]");
    const words = JSON.parse(feed.dataset.words);
    for (const event of waiting) list.prepend(rowOf(event, template, words));
    while (list.children.length > MAX_ROWS) list.lastElementChild.remove();
    if (waiting.length) feed.querySelector(".nothing")?.remove();
    waiting = [];
  };
  if (!document.querySelector("[data-feed]")) return;
  document.addEventListener("lockstream:filtered", () => (waiting = []));
  document.addEventListener("lockstream:event", ({ detail }) => {
    waiting = [...waiting, JSON.parse(detail)].slice(-MAX_ROWS);
    if (waiting.length === 1) requestAnimationFrame(() => isPaused || add());
  });
  document.addEventListener("lockstream:pause", ({ detail }) => {
    isPaused = detail;
    if (!isPaused) add();
  });
}

function rowOf({ event_id, recorded_at, type, locker_id, position, payload }, template, words) {
  const row = template.content.firstElementChild.cloneNode(true);
  const slot = (name) => row.querySelector(`[data-slot="${name}"]`);
  const locker = `/lockers/${encodeURIComponent(locker_id)}`;
  slot("time").dateTime = slot("time").title = recorded_at;
  slot("event").textContent = words[type] ?? type;
  slot("event").href = address(`/events/${encodeURIComponent(event_id)}`);
  link(slot("locker"), locker, locker_id);
  link(slot("reservation"), `/reservations/${encodeURIComponent(payload.reservation_id)}`, payload.reservation_id);
  link(slot("compartment"), `${locker}/compartments/${encodeURIComponent(payload.compartment_id)}`, payload.compartment_id);
  if (typeof payload.compartment_id !== "string") slot("place").remove();
  if (type !== "FaultReported") slot("severity").remove();
  else showSeverity(slot("severity").lastElementChild, payload.severity);
  slot("position").textContent = position.toLocaleString("en");
  showTimes(row);
  return row;
}

function link(anchor, path, text) {
  if (typeof text !== "string") return void anchor.remove(); // the log keeps members of any value
  anchor.href = address(path);
  anchor.firstElementChild.textContent = text;
}

function showSeverity(element, severity) {
  element.textContent = severity;
  const degrades = severity >= Number(element.dataset.degrading);
  element.classList.add(degrades ? "severity--high" : "severity--low");
  element.title = degrades ? "Degrades its compartment" : "Does not degrade its compartment";
}

const address = (path) => document.body.dataset.console + path;
