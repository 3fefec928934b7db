// The button that changes between the light and the dark theme.
const dark = matchMedia("(prefers-color-scheme: dark)");

const current = () => document.documentElement.dataset.theme ?? (dark.matches ? "dark" : "light");

export function showTheme() {
  document.querySelector(".side [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
  const button = document.getElementById("theme");
  if (!button) return;
  const show = () => (button.textContent = current() === "dark" ? "Light" : "Dark");
  button.hidden = false;
  button.title = "Change the colours of this browser";
  button.addEventListener("click", () => {
    const theme = current() === "dark" ? "light" : "dark";
    document.documentElement.dataset.theme = theme;
    localStorage.setItem("lockstream-theme", theme);
    show();
  });
  dark.addEventListener("change", show);
  show();
}
