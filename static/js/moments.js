// Moments that the server wrote in UTC, in the zone and the manner of the person who reads.
function localise(root) {
  for (const time of root.querySelectorAll("time[data-local]")) {
    const dateStyle = time.dataset.local || "medium";
    const options = "day" in time.dataset ? { dateStyle } : { dateStyle, timeStyle: "short" };
    time.textContent = new Date(time.dateTime).toLocaleString([], options);
    time.title ||= `${time.dateTime.slice(0, 16).replace("T", " ")} UTC`;
  }
}

localise(document);
document.addEventListener("htmx:load", (event) => localise(event.target));
