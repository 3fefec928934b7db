// Long lists: the next page is added when its link comes near, and rows far away make room for an empty block.
import { fetchPage } from "./dialogs.js";
import { setPaused } from "./live.js";
import { showTimes } from "./times.js";

const NEAR = "1200px";
const TYPING_MILLISECONDS = 200;
const RETRY_MILLISECONDS = 10_000; // between two attempts to load the next page
const REFUSAL = "main > .note--bad[role=alert]";

let hasPaused = false;

export function followLists() {
  for (const list of document.querySelectorAll("[data-list]")) new List(list);
  for (const form of document.querySelectorAll("form[data-filters]")) submitWhileTyping(form);
  document.addEventListener("lockstream:pause", ({ detail }) => detail || showFirstPage());
}

class List {
  constructor(element) {
    this.element = element;
    this.near = new IntersectionObserver((entries) => entries.some((entry) => entry.isIntersecting) && this.more(), { rootMargin: NEAR });
    this.seen = new IntersectionObserver((entries) => entries.forEach((entry) => this.show(entry)), { rootMargin: NEAR });
    this.watch();
    element.addEventListener("change", ({ target }) => this.tick(target));
    new MutationObserver(() => this.watch()).observe(element, { childList: true }); // a live page replaces table and link
  }

  // The live page replaces the table, so it is asked for each time.
  get table() {
    return this.element.querySelector("table");
  }

  watch() {
    this.near.disconnect();
    this.seen.disconnect();
    const link = this.element.querySelector("a[data-next]");
    if (link && !this.isReading) this.near.observe(link);
    for (const body of this.table?.tBodies ?? []) this.seen.observe(body);
  }

  async more() {
    const link = this.element.querySelector("a[data-next]");
    if (!link || this.isReading || !this.table) return;
    this.isReading = true;
    this.near.disconnect();
    const page = await fetchPage(link.href).catch(() => null);
    const list = page?.querySelector("[data-list]");
    const rows = list?.querySelector("tbody");
    const isCurrent = link.isConnected; // a live page may have replaced the table meanwhile
    if (rows && isCurrent) {
      showTimes(rows);
      this.table.append(document.adoptNode(rows));
      const next = list.querySelector("a[data-next]");
      if (next) link.href = next.getAttribute("href");
      else link.closest(".pager").remove();
      this.tick(rows);
      this.element.dataset.long = "";
      if (setPaused(true)) hasPaused = true; // else its first page would replace all rows
    }
    this.isReading = false;
    if (rows || !isCurrent) this.watch();
    else setTimeout(() => this.watch(), RETRY_MILLISECONDS);
  }

  // The box that selects all rows ticks those of folded rows as well. It is ticked as long as all of them are.
  tick(changed) {
    const all = this.element.querySelector("[data-select-all]");
    if (!all || !this.table) return;
    const bodies = [...this.table.tBodies];
    if (changed === all) for (const body of bodies) tickRows(body, all.checked);
    all.checked = !bodies.some((body) => body.stored) && boxesOf(this.table).every((box) => box.checked);
  }

  // A table body that is far away keeps its height, and its rows as text. One with a ticked box keeps its rows, because
  // a form sends them.
  show({ target, isIntersecting, boundingClientRect }) {
    if (isIntersecting) unfold(target);
    else if (!target.stored && target.rows.length > 20 && !target.querySelector("input:checked")) {
      const row = document.createElement("tr");
      const cell = document.createElement("td");
      cell.colSpan = 20;
      cell.height = Math.round(boundingClientRect.height);
      row.append(cell);
      target.stored = target.innerHTML;
      target.replaceChildren(row);
    }
  }
}

// When a page goes on, the newest first page of a list replaces all of its rows.
function showFirstPage() {
  hasPaused = false;
  const list = document.querySelector("[data-long]");
  if (!list) return;
  delete list.dataset.long;
  scrollTo(0, 0); // else the end of the first page would load the next one
}

const boxesOf = (rows) => [...rows.querySelectorAll("input[type=checkbox]")];

function tickRows(body, isTicked) {
  if (isTicked) unfold(body);
  for (const box of boxesOf(body)) box.checked = isTicked;
}

function unfold(body) {
  if (!body.stored) return;
  body.innerHTML = body.stored;
  body.stored = "";
}

function submitWhileTyping(form) {
  let timer = 0;
  form.addEventListener("input", (event) => {
    clearTimeout(timer);
    timer = setTimeout(() => show(form), event.target.tagName === "SELECT" ? 0 : TYPING_MILLISECONDS);
  });
}

let asked = 0; // counts requests, so that an older response overwrites no newer one

async function show(form) {
  const fields = [...new FormData(form)].filter(([, value]) => value);
  const url = `${form.action}?${new URLSearchParams(fields)}`;
  const number = ++asked;
  const page = await fetchPage(url).catch(() => null);
  if (number !== asked) return;
  const fresh = page?.getElementById("list");
  const refusal = page?.querySelector(REFUSAL);
  if (!fresh && !refusal) return void (location.href = url);
  history.replaceState(null, "", url);
  for (const old of document.querySelectorAll(REFUSAL)) old.remove();
  if (refusal) form.after(refusal); // while a value is being typed, it may not be one yet
  const list = document.getElementById("list");
  if (!fresh) return void list?.remove();
  showTimes(fresh);
  if (list) list.replaceWith(fresh);
  else form.parentElement.insertBefore(fresh, document.querySelector(".source"));
  document.querySelector(".source")?.replaceWith(page.querySelector(".source"));
  if ("list" in fresh.dataset) new List(fresh);
  document.dispatchEvent(new CustomEvent("lockstream:filtered", { detail: page.body }));
  if (hasPaused) setPaused(false);
}
