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

async function show(position) {
  const url = new URL(location.href);
  for (const name of ["at", "day", "clock"]) url.searchParams.delete(name);
  if (position) url.searchParams.set("at", position);
  const page = await fetchPage(url).catch(() => null);
  if (!page) return;
  history.replaceState(null, "", url);
  const button = document.getElementById("pause");
  if (position && button?.textContent === "Pause") button.click(); // what is shown no longer follows the feed
  replaceParts(page, "[data-moment-part]");
}
