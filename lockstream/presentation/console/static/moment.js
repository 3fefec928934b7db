// The slider of a locker's wall: from the locker's first event to the newest position of the log.
import { fetchPage } from "./dialogs.js";
import { replaceParts } from "./live.js";

const SLIDING_MILLISECONDS = 120;

export function bindMoment() {
  const form = document.querySelector("form[data-moment]");
  const first = Number(form?.dataset.first);
  const last = Number(form?.dataset.last);
  if (!first || last <= first) return;
  const field = Object.assign(document.createElement("div"), { className: "field field--slider" });
  const label = Object.assign(document.createElement("label"), { htmlFor: "slider" });
  const slider = Object.assign(document.createElement("input"), { id: "slider", type: "range", min: first, max: last, step: 1 });
  slider.value = form.dataset.shown;
  let timer = 0;
  const isNow = () => Number(slider.value) >= last;
  const say = () => {
    label.textContent = isNow() ? "Slide back in time" : `Position ${Number(slider.value).toLocaleString("en")}`;
    slider.setAttribute("aria-valuetext", isNow() ? "now" : label.textContent);
  };
  slider.addEventListener("input", () => {
    say();
    clearTimeout(timer);
    timer = setTimeout(() => show(isNow() ? null : slider.value), SLIDING_MILLISECONDS);
  });
  say();
  field.append(label, slider);
  form.append(field);
}

let asked = 0; // counts requests, so that an older response overwrites no newer one
let hasPaused = false;

async function show(position) {
  const url = new URL(location.href);
  for (const name of ["at", "day", "clock"]) url.searchParams.delete(name);
  if (position) url.searchParams.set("at", position);
  const button = document.getElementById("pause");
  const number = ++asked;
  if (!position && !button) return void (location.href = url); // a page of an earlier moment does not follow the feed
  const page = await fetchPage(url).catch(() => null);
  if (!page || number !== asked) return;
  history.replaceState(null, "", url);
  if (position && button?.textContent === "Pause") {
    hasPaused = true;
    button.click(); // what is shown no longer follows the feed
  }
  replaceParts(page, "[data-moment-part]");
  const source = document.querySelector(".source ul");
  const fresh = page.querySelector(".source ul");
  if (source && fresh) source.replaceWith(fresh);
  if (!position && hasPaused && button.textContent === "Go on") button.click();
  if (!position) hasPaused = false;
}
