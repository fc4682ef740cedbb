/* Dialogs: opens those on the page by data-open, those that arrive by htmx in #dialog, and closes both.

   Links with data-open keep their href, so that without script they lead to the same thing as a page. */

let opener = null;

const open = (dialog) => {
  if (!dialog || dialog.open) return;
  opener = document.activeElement;
  dialog.showModal();
};

export const openById = (id) => open(document.getElementById(id));

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
    // The swap an action caused may have replaced what opened the dialog.
    const back = opener?.isConnected ? opener : opener?.id ? document.getElementById(opener.id) : null;
    back?.focus();
    opener = null;
  },
  true,
);

document.addEventListener("htmx:afterSwap", () => {
  open(document.querySelector("dialog[data-auto]:not([open])"));
});

/* An action sent from a dialog that succeeded or was refused swaps the page behind it: the dialog is done. A 422
   swaps the dialog itself (the server retargets it) and it stays open. */
document.addEventListener("htmx:beforeSwap", (event) => {
  const dialog = event.detail.requestConfig.elt.closest?.("dialog[data-auto]");
  if (dialog && event.detail.xhr.status !== 422) dialog.close();
});
