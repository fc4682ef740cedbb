/* Where the focus was, told by ids, so that it can go back after the page around it was replaced. */

const FOCUSABLE = "a[href], button:not(:disabled), summary, input:not([type=hidden])";

/** Remember the place of `element`; returns a function that puts the focus back there, or near. */
export const remember = (element) => {
  // What a menu holds can't take the focus once the menu is closed; its head can.
  const head = element.closest("details")?.querySelector("summary[id]");
  const ids = head ? [head.id] : [];
  for (let at = element; at; at = at.parentElement) if (at.id) ids.push(at.id);
  return () => {
    element.focus();
    if (document.activeElement === element) return;
    for (const id of ids) {
      const place = document.getElementById(id);
      const target = place?.matches(FOCUSABLE) ? place : place?.querySelector(FOCUSABLE);
      if (target) return target.focus();
    }
  };
};
