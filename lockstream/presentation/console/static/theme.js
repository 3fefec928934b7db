// The theme that the viewer has chosen, before the page is drawn. Without a choice, the system's theme counts.
const chosen = localStorage.getItem("lockstream-theme");
if (chosen) document.documentElement.dataset.theme = chosen;
