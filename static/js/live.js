/* Live data, polled: tells the page's one live element when to ask for news.

   The element carries data-version and listens for fleet:tick (hx-trigger). It is asked every 5 s while the page is
   looked at, every minute when nobody touched it for a while, never while it is hidden, paused, or something is open
   that a swap would take from under the person's hands. 204 means nothing changed. */

import { remember } from "./focus.js";

const QUICK_MS = 5_000;
const SLOW_MS = 60_000;
const IDLE_AFTER_MS = 5 * 60_000;
const LIVE = "[data-version]";

const toggle = document.querySelector("[data-live-toggle]");
let paused = false;
let lastUse = Date.now();
let lastTick = Date.now();
let checkedAt = Date.now();
let failing = false;

const handsOn = () =>
  document.querySelector("dialog[open], details.menu[open]") !== null ||
  document.querySelector(`${LIVE} :is(input[type=text], textarea, select):focus`) !== null ||
  String(document.getSelection()) !== "";

const due = () => {
  const pace = Date.now() - lastUse < IDLE_AFTER_MS ? QUICK_MS : SLOW_MS;
  return Date.now() - lastTick >= pace;
};

const tick = () => {
  const live = document.querySelector(LIVE);
  say();
  if (!live || paused || document.hidden || handsOn() || !due()) return;
  lastTick = Date.now();
  live.dispatchEvent(new CustomEvent("fleet:tick"));
};

const say = () => {
  if (!toggle) return;
  toggle.hidden = document.querySelector(LIVE) === null;
  const seconds = Math.round((Date.now() - checkedAt) / 1000);
  const age = seconds < 3 ? "just now" : seconds < 60 ? `${seconds} s ago` : `${Math.round(seconds / 60)} min ago`;
  const words = paused ? "Paused" : failing ? "Connection lost" : "Live";
  toggle.querySelector("span").textContent = `${words} · checked ${age}`;
};

toggle?.addEventListener("click", () => {
  paused = !paused;
  toggle.setAttribute("aria-pressed", String(paused));
  say();
});

for (const use of ["pointerdown", "keydown", "scroll", "pointermove"]) {
  document.addEventListener(use, () => (lastUse = Date.now()), { passive: true });
}
document.addEventListener("visibilitychange", () => {
  if (document.hidden) return;
  lastUse = Date.now();
  lastTick = 0;
  tick();
});

document.addEventListener("htmx:configRequest", (event) => {
  const live = event.target.closest?.(LIVE);
  if (live && event.target === live) event.detail.headers["X-Fleet-Version"] = live.dataset.version;
});
document.addEventListener("htmx:afterRequest", (event) => {
  if (!event.target.matches?.(LIVE) && !event.detail.successful) return;
  failing = !event.detail.successful && event.detail.xhr.status === 0;
  if (event.detail.successful) checkedAt = Date.now();
  say();
});

/* A swap keeps the focus and the scroll positions inside it, and announces changes of state once. */
let kept = [];
let refocus = null;
let acted = null;
document.addEventListener("htmx:configRequest", (event) => {
  // A button is disabled while its request runs, and loses the focus by it.
  if (event.detail.verb !== "get") acted = remember(document.activeElement);
});
document.addEventListener("htmx:beforeSwap", (event) => {
  const focused = document.activeElement;
  refocus = event.target.contains(focused) && focused !== document.body ? remember(focused) : null;
  kept = [...event.target.querySelectorAll("[id]")]
    .filter((element) => element.scrollTop || element.scrollLeft)
    .map((element) => [element.id, element.scrollTop, element.scrollLeft]);
});
document.addEventListener("htmx:afterSwap", () => {
  if (document.activeElement === document.body) (refocus ?? acted)?.();
  [refocus, acted] = [null, null];
  for (const [id, top, left] of kept) {
    const element = document.getElementById(id);
    if (element) [element.scrollTop, element.scrollLeft] = [top, left];
  }
  announce();
});

let announced = document.querySelector("[data-announce]")?.dataset.announce;
const announce = () => {
  const words = document.querySelector("[data-announce]")?.dataset.announce;
  if (words && words !== announced) document.getElementById("announcer").textContent = words;
  announced = words;
};

/* An action changed something: the rest of the page asks at once. */
document.addEventListener("fleet:changed", () => {
  lastTick = 0;
  tick();
});

setInterval(tick, 1_000);
say();
