// Buttons that copy the text of an element. They stay hidden if the browser has no clipboard for this page, as at an
// address without TLS that is not of this machine.
export function bindCopyButtons() {
  if (!navigator.clipboard) return;
  for (const button of document.querySelectorAll("button[data-copy]")) {
    const status = button.parentElement.querySelector("[role=status]");
    const source = document.getElementById(button.dataset.copy);
    button.hidden = false;
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(source.textContent);
        status.textContent = "Copied.";
      } catch {
        status.textContent = "The browser did not copy the text. Select it, and copy it by hand.";
      }
    });
  }
}
