// Links that open a part of another page in a dialog. Without a dialog, they lead to that page.
import { showTimes } from "./times.js";

export async function fetchPage(url) {
  const response = await fetch(url, { headers: { Accept: "text/html" } });
  if (response.redirected && new URL(response.url).pathname.endsWith("/sign-in")) {
    location.href = response.url;
    return null;
  }
  if (!response.ok) return null;
  return new DOMParser().parseFromString(await response.text(), "text/html");
}

export function openDialogs() {
  document.addEventListener("click", async (event) => {
    const link = event.target.closest("a[data-dialog]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    event.preventDefault();
    const page = await fetchPage(link.href);
    const part = page?.querySelector("[data-fragment]");
    if (!part) return void (location.href = link.href);
    showDialog(document.adoptNode(part), link);
  });
}

function showDialog(part, link) {
  const dialog = document.createElement("dialog");
  const close = Object.assign(document.createElement("button"), { textContent: "Close", className: "dialog__close" });
  const open = Object.assign(document.createElement("a"), { textContent: "Open as a page", href: link.href });
  for (const element of part.querySelectorAll("[id]")) element.removeAttribute("id");
  const title = part.querySelector("h1");
  title.id = "dialog-title";
  dialog.setAttribute("aria-labelledby", title.id);
  close.addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  dialog.addEventListener("close", () => {
    dialog.remove();
    const href = CSS.escape(link.getAttribute("href"));
    const kept = link.isConnected ? link : document.querySelector(`a[data-dialog][href="${href}"]`);
    kept?.focus(); // a live page may have replaced the link
  });
  dialog.append(close, part, open);
  showTimes(dialog);
  document.body.append(dialog);
  dialog.showModal();
}
