// The slider of a locker's wall. It moves by the locker's own events, which are the choices of a form without scripts.
import { fetchPage } from "./dialogs.js";
import { replaceParts, setPaused } from "./live.js";
import { clock } from "./times.js";

const SLIDING_MILLISECONDS = 120;
const UTC_TIME = /20[0-9-]{8} [0-9:]{5} UTC/; // the recorded time in the text of a choice

export function bindMoment() {
  const steps = document.getElementById("steps");
  if (!steps) return;
  new Slider(steps);
  leadToNoon();
}

class Slider {
  constructor(steps) {
    this.steps = steps;
    this.field = Object.assign(document.createElement("div"), { className: "field--slider" });
    const label = Object.assign(document.createElement("label"), { htmlFor: "slider", textContent: "Slide back in time" });
    this.slider = Object.assign(document.createElement("input"), { id: "slider", type: "range", min: 0, step: 1 });
    this.text = Object.assign(document.createElement("bdi"), { className: "slider__text" });
    this.field.append(label, this.slider, this.text);
    this.slider.addEventListener("input", () => this.slide());
    steps.classList.add("has-slider");
    steps.before(this.field);
    new MutationObserver(() => this.read()).observe(steps, { childList: true });
    document.addEventListener("lockstream:pause", (event) => this.returnToNow(event));
    this.read();
  }

  // New events have new choices, which live.js puts in the place of the old ones. The moment that is shown stays.
  read() {
    this.choices = [...this.steps.querySelectorAll("option")];
    this.field.hidden = !this.choices.length;
    if (this.field.hidden) return;
    this.slider.max = this.choices.length - 1;
    this.slider.value = this.choices.findIndex((one) => (this.at ? one.value === this.at : one.selected));
    this.say();
  }

  slide() {
    this.at = this.choices[this.slider.value].value;
    this.say();
    clearTimeout(this.timer);
    this.timer = setTimeout(() => show(this.at), SLIDING_MILLISECONDS);
  }

  // A page of a past moment that goes on shows now first, and stays paused until then.
  returnToNow(event) {
    if (event.detail || !new URL(location.href).searchParams.has("at")) return;
    event.preventDefault();
    hasPaused = true;
    this.slider.value = this.slider.max;
    this.slide();
  }

  say() {
    const { text, dataset } = this.choices[this.slider.value];
    const told = text.replace(UTC_TIME, clock(dataset.time));
    this.text.textContent = told;
    this.slider.setAttribute("aria-valuetext", told);
  }
}

let asked = 0; // counts requests, so that an older response overwrites no newer one
let hasPaused = false;

// Shows the wall at a position, or now if there is none.
async function show(position) {
  const url = new URL(location.href);
  for (const name of ["at", "day", "clock"]) url.searchParams.delete(name);
  if (position) url.searchParams.set("at", position);
  const number = ++asked;
  const followsFeed = document.getElementById("pause") !== null; // a page of an earlier moment does not
  if (!position && !followsFeed) return void (location.href = url);
  const page = await fetchPage(url).catch(() => null);
  if (!page || number !== asked) return;
  history.replaceState(null, "", url);
  if (position && setPaused(true)) hasPaused = true; // a past moment does not follow the feed
  replaceParts(page, "[data-moment-part]");
  const source = document.querySelector(".source ul");
  const fresh = page.querySelector(".source ul");
  if (source && fresh) source.replaceWith(fresh);
  if (position || !hasPaused) return;
  hasPaused = false;
  setPaused(false);
}

// Yesterday at noon is noon in the zone of the viewer. Without scripts it is noon in UTC.
function leadToNoon() {
  const link = document.querySelector("a[data-noon]");
  if (!link) return;
  const noon = new Date();
  noon.setDate(noon.getDate() - 1);
  noon.setHours(12, 0, 0, 0);
  link.href = `?at=${noon.toISOString()}`;
  link.textContent = "Yesterday at noon";
}
