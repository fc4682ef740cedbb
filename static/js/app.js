/* Small conveniences of every page: theme, toasts, menus, bulk selection, keys, ages, copying.

   None is needed to use the product: deleting this folder leaves working links and forms. */

const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
const root = document.documentElement;
const store = {
  get: (key) => {
    try {
      return localStorage.getItem(key);
    } catch {
      return null;
    }
  },
  set: (key, value) => {
    try {
      localStorage.setItem(key, value);
    } catch {
      // Storage may be forbidden; the choice lasts until the page is left then.
    }
  },
};

/* Theme */
const isDark = () =>
  root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
const toggleTheme = () => {
  root.dataset.theme = isDark() ? "light" : "dark";
  store.set("theme", root.dataset.theme);
};

/* Toasts: successes leave by themselves, refusals wait to be read */
const TOAST_MS = 6_000;
const UNDO_MS = 10_000;
const timeToasts = () => {
  for (const toast of $$("[data-toast]:not([data-timed])")) {
    toast.dataset.timed = "";
    if (toast.dataset.state === "failure") continue;
    setTimeout(() => toast.remove(), $("form", toast) ? UNDO_MS : TOAST_MS);
  }
};
const toastFailure = (words) => {
  const toast = document.createElement("div");
  toast.className = "toast";
  toast.dataset.state = "failure";
  toast.dataset.toast = "";
  const text = document.createElement("b");
  text.textContent = words;
  toast.append(document.createElement("span"), text);
  $("#messages")?.append(toast);
  setTimeout(() => toast.remove(), UNDO_MS);
};
document.addEventListener("htmx:responseError", (event) => {
  const status = event.detail.xhr.status;
  if (status === 403) toastFailure("Your role can’t do this.");
  else if (status === 404) toastFailure("It is gone. Reload the page.");
  else if (!event.detail.elt.matches?.("[data-version]")) {
    toastFailure("The dashboard failed to answer. Nothing may have changed; reload the page.");
  }
});
document.addEventListener("htmx:sendError", (event) => {
  if (!event.detail.elt.matches?.("[data-version]")) toastFailure("The dashboard can’t be reached.");
});

/* Ages in <time data-moment> */
const age = (seconds) => {
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.floor(seconds / 3_600)} h`;
  return `${Math.floor(seconds / 86_400)} d`;
};
const refreshAges = () => {
  for (const time of $$("time[data-moment]")) {
    const seconds = Math.floor((Date.now() - Date.parse(time.dateTime)) / 1_000);
    const length = age(Math.abs(seconds));
    const words = time.dataset.moment === "age" ? length : seconds >= 0 ? `${length} ago` : `in ${length}`;
    if (time.textContent !== words) time.textContent = words;
  }
};
setInterval(() => document.hidden || refreshAges(), 1_000);

/* Bulk selection */
const syncBulk = () => {
  const bar = $("[data-bulk]");
  if (!bar) return;
  const boxes = $$("tbody .check");
  const ticked = boxes.filter((box) => box.checked).length;
  const head = $("thead .check");
  bar.classList.toggle("is-on", ticked > 0);
  const words = $("b", bar);
  if (words) words.textContent = `${ticked} selected`;
  if (head) {
    head.checked = ticked > 0 && ticked === boxes.length;
    head.indeterminate = ticked > 0 && ticked < boxes.length;
  }
};
document.addEventListener("change", (event) => {
  if (!event.target.matches(".check")) return;
  if (event.target.closest("thead")) {
    for (const box of $$("tbody .check")) box.checked = event.target.checked;
  }
  syncBulk();
});

/* Clicks */
const copy = async (button) => {
  await navigator.clipboard.writeText($(button.dataset.copy).innerText.trim());
  const words = $("span", button);
  if (!words) return;
  const before = words.textContent;
  words.textContent = "Copied";
  setTimeout(() => (words.textContent = before), 1_600);
};
const step = (button) => {
  const input = $("input", button.parentElement);
  const value = Number(input.value) + Number(button.dataset.step);
  input.value = Math.max(Number(input.min) || 0, Math.min(Number(input.max) || Infinity, value));
  input.dispatchEvent(new Event("change", { bubbles: true }));
};
const reveal = (button) => {
  const input = document.getElementById(button.dataset.reveal);
  const shown = input.type === "text";
  input.type = shown ? "password" : "text";
  button.setAttribute("aria-pressed", String(!shown));
};
document.addEventListener("click", (event) => {
  for (const menu of $$("details.menu[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
  const control = event.target.closest(
    "[data-theme-toggle], [data-dismiss], [data-copy], [data-step], [data-reveal], [data-clear-selection]",
  );
  if (!control) return;
  const does = control.dataset;
  if ("themeToggle" in does) toggleTheme();
  if ("dismiss" in does) control.closest("[data-toast]").remove();
  if ("copy" in does) copy(control);
  if ("step" in does) step(control);
  if ("reveal" in does) reveal(control);
  if ("clearSelection" in does) {
    for (const box of $$(".check:checked")) box.checked = false;
    syncBulk();
  }
});

/* Filters apply as soon as one is chosen */
document.addEventListener("change", (event) => {
  const form = event.target.closest("form[data-autosubmit]");
  if (form) form.requestSubmit();
});

/* Addresses carry only the filters that are set */
document.addEventListener("htmx:configRequest", (event) => {
  if (event.detail.verb !== "get") return;
  const { parameters } = event.detail;
  for (const name of Object.keys(parameters)) if (parameters[name] === "") delete parameters[name];
});

/* Keys: silent in fields and dialogs, and when switched off (WCAG 2.1.4) */
const shortcuts = $("[data-shortcuts-toggle]");
if (shortcuts) {
  shortcuts.checked = store.get("shortcuts") !== "off";
  shortcuts.addEventListener("change", () => store.set("shortcuts", shortcuts.checked ? "on" : "off"));
}
const CHORD_MS = 1_200;
let chordAt = 0;
const openDialog = (id) => document.dispatchEvent(new CustomEvent("fleet:open", { detail: id }));
const rows = () => $$("tbody tr").filter((row) => $(".rowlink", row));
const moveCursor = (by) => {
  const all = rows();
  const at = all.findIndex((row) => row.matches(".is-cursor"));
  const next = all[Math.max(0, Math.min(all.length - 1, at + by))];
  all[at]?.classList.remove("is-cursor");
  next?.classList.add("is-cursor");
  $(".rowlink", next ?? document.createElement("i"))?.focus();
};
const cursorRow = () => rows().find((row) => row.matches(".is-cursor"));
const KEYS = {
  "/": () => ($("[data-search]") ? $("[data-search]").focus() : openDialog("palette")),
  "?": () => openDialog("shortcuts"),
  t: toggleTheme,
  c: () => $("[data-provision]")?.click(),
  j: () => moveCursor(1),
  k: () => moveCursor(-1),
  x: () => $(".check", cursorRow() ?? document.createElement("i"))?.click(),
  g: () => (chordAt = Date.now()),
};
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") for (const menu of $$("details.menu[open]")) menu.open = false;
  if ((event.metaKey || event.ctrlKey) && event.key === "k") {
    event.preventDefault();
    openDialog("palette");
    return;
  }
  const typing = event.target.matches("input:not([type=checkbox]), select, textarea, [contenteditable]");
  const modified = event.metaKey || event.ctrlKey || event.altKey;
  if (typing || modified || $("dialog[open]") || store.get("shortcuts") === "off") return;
  if (Date.now() - chordAt < CHORD_MS) {
    chordAt = 0;
    $(`.nav a[data-key="${CSS.escape(event.key)}"]`)?.click();
    return;
  }
  const act = KEYS[event.key];
  if (!act) return;
  event.preventDefault();
  act();
});

/* Palette: filters its own entries; Enter searches runners unless an entry was chosen */
const palette = $("[data-palette]");
palette?.addEventListener("input", (event) => {
  const words = event.target.value.toLowerCase();
  for (const entry of $$(".palette__list > :is(a, button:not([data-palette-search]))", palette)) {
    entry.hidden = !entry.textContent.toLowerCase().includes(words);
  }
});

/* What scrolls joins the tab order only while it scrolls */
const scrollers = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    const scrolls = target.scrollWidth > target.clientWidth + 1 || target.scrollHeight > target.clientHeight + 1;
    if (scrolls) target.tabIndex = 0;
    else target.removeAttribute("tabindex");
  }
});
const watchScrollers = () => {
  for (const target of $$(".table-wrap, .cmd pre, .log, .track, .subnav, .chips")) scrollers.observe(target);
};

/* Logs show their end */
const followLogs = () => {
  for (const log of $$("[data-follow]:not([data-followed])")) {
    log.dataset.followed = "";
    log.scrollTop = log.scrollHeight;
  }
};

const freshen = () => {
  timeToasts();
  refreshAges();
  syncBulk();
  watchScrollers();
  followLogs();
};
document.addEventListener("htmx:afterSettle", freshen);
freshen();
