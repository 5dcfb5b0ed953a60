// Sliders that say their value in the `output` that names them, in the words of `data-one`
// and `data-many`, where % stands for the number.
for (const output of document.querySelectorAll("output[data-many]")) {
  const slider = document.getElementById(output.htmlFor.value);
  const show = () => {
    const words = slider.value === "1" ? output.dataset.one : output.dataset.many;
    output.textContent = words.replace("%", slider.value);
  };
  slider.addEventListener("input", show);
  show();
}
