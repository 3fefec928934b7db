// The results under the search box while an id is typed. Enter without a chosen result opens the page of the search.
const TYPING_MILLISECONDS = 150;
const MAX_RESULTS = 5; // of each kind

export function searchWhileTyping() {
  const input = document.getElementById("search");
  if (input) new Search(input);
}

class Search {
  constructor(input) {
    this.input = input;
    this.list = Object.assign(document.createElement("ul"), { id: "results", className: "results", hidden: true });
    this.list.setAttribute("role", "listbox");
    this.list.setAttribute("aria-label", "Found");
    this.said = Object.assign(document.createElement("span"), { className: "hidden" });
    this.said.setAttribute("role", "status");
    for (const [name, value] of [["role", "combobox"], ["aria-expanded", "false"], ["aria-controls", "results"], ["aria-autocomplete", "list"]]) input.setAttribute(name, value);
    input.form.append(this.list, this.said);
    input.addEventListener("input", () => this.later());
    input.addEventListener("keydown", (event) => this.key(event));
    input.addEventListener("blur", () => this.close());
    this.list.addEventListener("click", (event) => {
      const option = event.target.closest("[role=option]");
      if (option) open(option, event.ctrlKey || event.metaKey);
    });
    this.list.addEventListener("mousedown", (event) => event.preventDefault()); // the box keeps the focus until the click
  }

  later() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.find(this.input.value.trim()), TYPING_MILLISECONDS);
  }

  async find(text) {
    this.asked = text;
    if (!text) return this.close();
    const response = await fetch(`${document.body.dataset.console}/api/search?q=${encodeURIComponent(text)}`).catch(() => null);
    const found = response?.ok ? await response.json() : null;
    if (this.asked !== text || document.activeElement !== this.input) return;
    if (found) this.show(results(found, text));
    else this.close();
  }

  show(found) {
    this.list.replaceChildren(...found.map(optionOf));
    if (!found.length) this.list.append(Object.assign(document.createElement("li"), { textContent: "Nothing begins with this text. Enter tries upper and lower case.", className: "results__none" }));
    this.said.textContent = found.length === 1 ? "1 result" : `${found.length} results`;
    this.list.hidden = false;
    this.input.setAttribute("aria-expanded", "true");
    this.choose(null);
  }

  close() {
    this.list.hidden = true;
    this.said.textContent = "";
    this.input.setAttribute("aria-expanded", "false");
    this.choose(null);
  }

  choose(option) {
    this.list.querySelector("[aria-selected=true]")?.setAttribute("aria-selected", "false");
    option?.setAttribute("aria-selected", "true");
    option?.scrollIntoView({ block: "nearest" });
    if (option) this.input.setAttribute("aria-activedescendant", option.id);
    else this.input.removeAttribute("aria-activedescendant");
    this.chosen = option;
  }

  key(event) {
    const options = [...this.list.querySelectorAll("[role=option]")];
    if (event.key === "Escape" && !this.list.hidden) this.close();
    else if (event.key === "Enter" && this.chosen) open(this.chosen, event.ctrlKey || event.metaKey);
    else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      if (this.list.hidden || !options.length) return this.later();
      const step = event.key === "ArrowDown" ? 1 : -1;
      const here = options.indexOf(this.chosen);
      this.choose(options[(here + step + options.length + (here < 0 && step < 0 ? 1 : 0)) % options.length]);
    } else return;
    event.preventDefault();
  }
}

function results({ lockers, compartments, reservations, events }, text) {
  const part = encodeURIComponent;
  const found = [
    ...lockers.slice(0, MAX_RESULTS).map((id) => ["Locker", id, "", `/lockers/${part(id)}`]),
    ...compartments.slice(0, MAX_RESULTS).map((one) => ["Door", one.compartment_id, one.locker_id, `/lockers/${part(one.locker_id)}/compartments/${part(one.compartment_id)}`]),
    ...reservations.slice(0, MAX_RESULTS).map((id) => ["Parcel", id, "", `/reservations/${part(id)}`]),
    ...events.slice(0, MAX_RESULTS).map((one) => ["Event", one.event_id, `position ${one.position.toLocaleString("en")}`, `/events/${part(one.event_id)}`]),
  ];
  if (/^[0-9]{1,15}$/.test(text)) found.push(["Event", `at position ${Number(text).toLocaleString("en")}`, "", `/search?q=${text}`]);
  if (found.length) found.push(["All", `Everything found for “${text}”`, "", `/search?q=${part(text)}`]);
  return found;
}

// An option is no link, because an option may hold nothing that can be focused.
function optionOf([kind, label, note, path], index) {
  const option = Object.assign(document.createElement("li"), { id: `result-${index}`, className: "result" });
  option.setAttribute("role", "option");
  option.setAttribute("aria-selected", "false");
  option.dataset.address = document.body.dataset.console + path;
  for (const [name, text] of [["result__kind", kind], [kind === "All" ? "" : "id", label], ["muted", note]]) {
    if (text) option.append(Object.assign(document.createElement("bdi"), { className: name, textContent: text }));
  }
  return option;
}

function open(option, isNewTab) {
  if (isNewTab) window.open(option.dataset.address, "_blank", "noopener");
  else location.href = option.dataset.address;
}
