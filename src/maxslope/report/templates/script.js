"use strict";
// Charts tell their points to the pointer and to the arrow keys; without this script the tables below them do.
for (const plot of document.querySelectorAll(".plot")) {
  const svg = plot.querySelector("svg");
  const tip = plot.querySelector(".tip");
  const said = plot.querySelector("[role=status]");
  const dots = [...svg.querySelectorAll(".dot")].map((dot) => {
    const title = dot.querySelector("title");
    const text = title.textContent;
    title.remove();
    return { dot, text, x: Number(dot.getAttribute("cx")), y: Number(dot.getAttribute("cy")) };
  });
  if (!dots.length) continue;
  plot.tabIndex = 0;
  let at = -1;
  const show = (k, aloud) => {
    if (at >= 0) dots[at].dot.classList.remove("on");
    at = k;
    tip.hidden = k < 0;
    if (k < 0) return;
    const { dot, text, x, y } = dots[k];
    dot.classList.add("on");
    tip.textContent = text;
    if (aloud) said.textContent = text;
    const scale = svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;
    const room = plot.getBoundingClientRect().width - tip.offsetWidth;
    tip.style.left = `${Math.max(0, Math.min(room, x * scale - tip.offsetWidth / 2))}px`;
    tip.style.top = `${Math.max(0, y * scale - tip.offsetHeight - 10)}px`;
  };
  plot.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const scale = svg.viewBox.baseVal.width / box.width;
    const px = (event.clientX - box.left) * scale, py = (event.clientY - box.top) * scale;
    let best = -1, least = 40 ** 2;
    dots.forEach(({ x, y }, k) => {
      const far = (x - px) ** 2 + (y - py) ** 2;
      if (far < least) [best, least] = [k, far];
    });
    show(best, false);
  });
  plot.addEventListener("pointerleave", () => show(-1, false));
  plot.addEventListener("blur", () => show(-1, false));
  plot.addEventListener("keydown", (event) => {
    const go = { ArrowRight: at + 1, ArrowDown: at + 1, ArrowLeft: at - 1, ArrowUp: at - 1, Home: 0, End: dots.length - 1 };
    if (event.key === "Escape") return show(-1, false);
    if (!(event.key in go)) return;
    event.preventDefault();
    show(Math.max(0, Math.min(dots.length - 1, go[event.key])), true);
  });
}
// Pictures and charts grow in a dialog, which Escape or its button closes.
const large = document.querySelector("dialog.large");
const stage = large.querySelector(".stage");
const grow = (element) => {
  const copy = element.cloneNode(true);
  copy.removeAttribute("tabindex");
  copy.classList.remove("zoom");
  for (const marked of [copy, ...copy.querySelectorAll("[id]")]) marked.removeAttribute("id");
  copy.removeAttribute("aria-labelledby");
  if (copy.tagName !== "IMG") copy.setAttribute("aria-hidden", "true");
  stage.replaceChildren(copy);
  large.showModal();
};
for (const image of document.querySelectorAll("img.zoom")) {
  image.tabIndex = 0;
  image.setAttribute("role", "button");
  image.addEventListener("click", () => grow(image));
  image.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    grow(image);
  });
}
for (const button of document.querySelectorAll("button.grow")) {
  button.hidden = false;
  button.addEventListener("click", () => grow(button.closest("figure").querySelector(".plot svg")));
}
// Films: one instant is seen, which a slider or the clock chooses; without this script all are. Where motion is to be
// reduced there is no clock: a press of the button is one instant.
const still = matchMedia("(prefers-reduced-motion: reduce)");
for (const film of document.querySelectorAll(".film")) {
  const plot = film.closest(".plot"), svg = plot.querySelector("svg");
  const slider = film.querySelector("input"), button = film.querySelector(".play");
  const names = JSON.parse(film.querySelector("script").textContent);
  const frames = [...svg.querySelectorAll(".frame")];
  const show = () => {
    frames.forEach((frame) => frame.classList.toggle("on", frame.dataset.frame === slider.value));
    film.querySelector("output").textContent = slider.ariaValueText = names[slider.value];
  };
  let clock = 0;
  const rest = () => { clearInterval(clock); clock = 0; button.firstChild.textContent = still.matches ? "Next" : "Play"; };
  still.addEventListener("change", rest);
  rest();
  svg.classList.add("filmed");
  film.hidden = false;
  slider.addEventListener("input", () => { rest(); show(); });
  button.addEventListener("click", () => {
    if (clock) return rest();
    if (still.matches) {
      slider.value = slider.value === slider.max ? 0 : Number(slider.value) + 1;
      return show();
    }
    if (slider.value === slider.max) slider.value = 0;
    button.firstChild.textContent = "Pause";
    clock = setInterval(() => {
      show();
      if (slider.value === slider.max) return rest();
      slider.value = Number(slider.value) + 1;
    }, 120);
  });
  show();
}
