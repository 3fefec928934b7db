// Shortcuts: "/" goes to the search box, "g" and a letter to a page, "p" pauses, "?" shows the list. The list has a switch
// that turns all of them off, because programs that write what a person says, and some hands, press letters unmeant.
const SWITCH = "lockstream-shortcuts";
const pages = { o: "", l: "/lockers", p: "/reservations", d: "/overdue", f: "/faults", q: "/quarantine", e: "/feed", s: "/system" };
const help = [["/", "find a locker, compartment, parcel or event"], ["g o", "overview"], ["g l", "lockers"], ["g p", "parcels"],
  ["g d", "overdue parcels"], ["g f", "faults"], ["g q", "quarantine"], ["g e", "feed"], ["g s", "system"],
  ["j, k", "next and previous row"], ["arrows, Home, End", "from door to door of a wall"],
  ["p", "pause, and go on"], ["?", "this list"]];

const root = document.documentElement;
const areOn = () => root.dataset.shortcuts !== "off";
let isGoing = false;

export function bindKeys() {
  root.dataset.shortcuts = localStorage.getItem(SWITCH) ?? "on";
  const button = document.getElementById("shortcuts");
  button?.addEventListener("click", showHelp);
  if (button) button.hidden = false;
  document.addEventListener("keydown", (event) => {
    if (!areOn() || event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea, dialog[open]")) return;
    const console_ = document.body.dataset.console;
    if (isGoing && event.key in pages) location.href = console_ + pages[event.key];
    else if (event.key === "/") document.getElementById("search")?.focus();
    else if (event.key === "p") document.getElementById("pause")?.click();
    else if (event.key === "j" || event.key === "k") moveRow(event.key === "j" ? 1 : -1);
    else if (event.key === "?") showHelp();
    else {
      isGoing = event.key === "g";
      return;
    }
    isGoing = false;
    event.preventDefault();
  });
}

function moveRow(step) {
  const links = [...document.querySelectorAll("tbody th a, .event__what a:first-child, .door")];
  const here = links.indexOf(document.activeElement);
  links[Math.min(Math.max(here + step, 0), links.length - 1)]?.focus();
}

function showHelp() {
  const dialog = document.createElement("dialog");
  const title = document.createElement("h2");
  title.textContent = "Shortcuts";
  const list = document.createElement("dl");
  list.className = "facts";
  for (const [keys, text] of help) {
    const name = document.createElement("dt");
    const meaning = document.createElement("dd");
    name.append(Object.assign(document.createElement("kbd"), { textContent: keys }));
    meaning.textContent = text;
    list.append(name, meaning);
  }
  const close = Object.assign(document.createElement("button"), { textContent: "Close" });
  close.addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => dialog.remove());
  dialog.append(title, switchOfShortcuts(), list, close);
  dialog.setAttribute("aria-label", "Shortcuts");
  document.body.append(dialog);
  dialog.showModal();
}

// The choice counts in this browser, on all pages.
function switchOfShortcuts() {
  const label = Object.assign(document.createElement("label"), { className: "check" });
  const box = Object.assign(document.createElement("input"), { type: "checkbox", checked: areOn() });
  box.addEventListener("change", () => {
    root.dataset.shortcuts = box.checked ? "on" : "off";
    localStorage.setItem(SWITCH, root.dataset.shortcuts);
  });
  label.append(box, "Shortcuts are on, apart from the keys that move between doors");
  return label;
}
