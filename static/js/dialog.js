/* Dialogs: opens those on the page by data-open, those that arrive by htmx in #dialog, and closes both.

   Links with data-open keep their href, so that without script they lead to the same thing as a page. */

import { remember } from "./focus.js";

const FIRST_CHOICE = ".dialog__body :is(input:checked, input:not([type=hidden], [type=radio]), select)";
let goBack = null;

const open = (dialog) => {
  if (!dialog || dialog.open) return;
  goBack = remember(document.activeElement);
  dialog.showModal();
  dialog.querySelector(FIRST_CHOICE)?.focus();
};

const openById = (id) => open(document.getElementById(id));

document.addEventListener("fleet:open", (event) => openById(event.detail));

document.addEventListener("click", (event) => {
  const control = event.target.closest("[data-open], [data-close]");
  if (!control) return;
  const plainClick = !(event.metaKey || event.ctrlKey || event.shiftKey);
  if (control.dataset.open && plainClick) {
    event.preventDefault();
    openById(control.dataset.open);
  } else if ("close" in control.dataset) {
    event.preventDefault();
    control.closest("dialog")?.close();
  }
});

document.addEventListener(
  "close",
  (event) => {
    if (!event.target.matches("dialog")) return;
    if ("auto" in event.target.dataset) event.target.remove();
    // After the swap that an action caused: it may have replaced what opened the dialog.
    if (goBack) setTimeout(goBack);
    goBack = null;
  },
  true,
);

document.addEventListener("htmx:afterSwap", () => {
  open(document.querySelector("dialog[data-auto]:not([open])"));
});

/* An action sent from a dialog that succeeded or was refused swaps the page behind it: the dialog is done. A 422
   swaps the dialog itself (the server retargets it) and it stays open; so does what a dialog only looks up. */
document.addEventListener("htmx:beforeSwap", (event) => {
  const { elt, verb } = event.detail.requestConfig;
  const dialog = elt.closest?.("dialog[data-auto]");
  if (dialog && verb !== "get" && event.detail.xhr.status !== 422) dialog.close();
});
