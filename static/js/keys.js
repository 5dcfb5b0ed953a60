// Lists by keyboard: j and k or the arrows go through the links of `[data-keys]`, Enter opens
// the one in focus as it does anyway, and the key that a field names in `data-key` leads to it.
const isTyping = (element) => element.matches("input, textarea, select, [contenteditable]");
const steps = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 };

function links() {
  return [...document.querySelectorAll("[data-keys] th a")];
}

function go(step) {
  const all = links();
  const row = document.activeElement.closest("[data-keys] tr");
  const here = row ? all.findIndex((link) => row.contains(link)) : -1;
  const next = here < 0 ? (step > 0 ? 0 : all.length - 1) : here + step;
  all[next]?.focus();
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  const typing = isTyping(document.activeElement);
  const field = document.querySelector(`[data-key="${CSS.escape(event.key)}"]`);
  if (typing) {
    // From the search the arrow leads into what was found; a select keeps its arrows.
    if (event.key === "ArrowDown" && document.activeElement.type === "search") go(1);
    else if (event.key === "Escape") document.activeElement.blur();
    else return;
  } else if (field) {
    field.focus();
    field.select();
  } else if (event.key in steps) {
    go(steps[event.key]);
  } else return;
  event.preventDefault();
});
