// Buttons that copy the text of the element they name in `data-copy`.
async function copy(element) {
  if (navigator.clipboard) return navigator.clipboard.writeText(element.textContent);
  // Without TLS a browser has no clipboard to offer: the text is selected for the person.
  getSelection().selectAllChildren(element);
  return Promise.reject(new Error("no clipboard"));
}

for (const button of document.querySelectorAll("[data-copy]")) {
  // The word a person sees; what follows it is only read aloud.
  const word = button.firstChild;
  const label = word.textContent;
  button.hidden = false;
  button.addEventListener("click", async () => {
    try {
      await copy(document.getElementById(button.dataset.copy));
      word.textContent = button.dataset.done;
    } catch {
      word.textContent = button.dataset.selected;
    }
    setTimeout(() => (word.textContent = label), 2500);
  });
}
