// Times in the zone of the viewer; the exact time stays in the title. Durations grow while the page is open.
const day = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const units = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];

export const clock = (text) => day.format(new Date(text));

export function duration(seconds) {
  let rest = Math.max(0, Math.round(seconds));
  const parts = [];
  for (const [unit, length] of units) {
    const count = Math.floor(rest / length);
    rest -= count * length;
    if (count) parts.push(`${count} ${unit}${count === 1 ? "" : "s"}`);
    if (parts.length === 2 || (parts.length && !count)) break;
  }
  return parts.join(" ") || "less than a second";
}

export function showTimes(root = document) {
  for (const element of root.querySelectorAll("time[datetime]")) {
    const time = new Date(element.dateTime);
    if (Number.isNaN(time.valueOf())) continue;
    const text = "since" in element.dataset ? duration((Date.now() - time) / 1000) : clock(element.dateTime);
    if (element.textContent !== text) element.textContent = text;
  }
}

export function keepTimes() {
  showTimes();
  setInterval(() => document.hidden || showTimes(), 10_000);
}
