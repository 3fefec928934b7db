// Before the page is drawn: the mark that scripts run, which shows what works with scripts only, and the theme that the
// viewer has chosen. Without a choice, the system's theme counts.
document.documentElement.dataset.scripts = "";
const chosen = localStorage.getItem("lockstream-theme");
if (chosen) document.documentElement.dataset.theme = chosen;
