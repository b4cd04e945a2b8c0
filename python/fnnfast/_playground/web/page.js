// The controls of the page are a plain HTML form. This sends what is set to Python, as the query of a permalink, and
// writes what comes back. Plots are Bokeh's own business. The bridge between both is a Bokeh model of that name.
"use strict";

const byId = (id) => document.getElementById(id);
const form = byId("settings");
let bridge = null;
let commands = 0;

function command(what, values = {}) {
  if (bridge) bridge.command = JSON.stringify({ do: what, number: ++commands, ...values });
}

// What is set ---------------------------------------------------------------------------------------------------------
function query() {
  return new URLSearchParams(new FormData(form)).toString();
}

let waiting = 0;
function send() {
  clearTimeout(waiting);
  waiting = setTimeout(() => {
    if (!bridge || !form.checkValidity()) return;
    bridge.sent = query();
  }, 120);
}

function renumber() {
  const rows = form.querySelectorAll(".layer");
  rows.forEach((row, index) => {
    row.querySelector("legend").textContent = `Layer ${index + 1}`;
    row.querySelector(".pieces").hidden = row.querySelector("[name=kind]").value !== "maxout";
    row.querySelector(".remove").setAttribute("aria-label", `Remove layer ${index + 1}`);
  });
  const add = byId("add-layer");
  if (add) add.disabled = rows.length >= 6;
}

if (form) {
  for (const kind of ["input", "change"]) form.addEventListener(kind, () => (renumber(), showValues(), send()));
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.matches(".remove")) {
      button.closest(".layer").remove();
      byId("add-layer").focus();
    } else if (button.id === "add-layer") {
      byId("layers").append(byId("new-layer").content.cloneNode(true));
      byId("layers").lastElementChild.querySelector("select").focus();
    } else if (button.matches(".less, .more")) {
      const input = button.parentElement.querySelector("input");
      button.matches(".more") ? input.stepUp() : input.stepDown();
    } else if (button.id === "new-seed") {
      form.elements.seed.value = Number(form.elements.seed.value) + 1;
    } else if (button.id === "clear-points") {
      form.elements.points.value = "";
    } else if (button.id === "add-point") {
      const part = ["px", "py", "label"].map((id) => Number(byId(`add-${id}`)?.value ?? 0));
      const text = `${Math.round(100 * part[0])}.${Math.round(100 * part[1])}.${part[2]}`;
      form.elements.points.value = [form.elements.points.value, text].filter(Boolean).join("_");
    } else {
      return;
    }
    renumber();
    send();
  });
  renumber();
}

function showValues() {
  for (const output of document.querySelectorAll("output[data-of]")) {
    output.textContent = byId(output.dataset.of).value;
  }
}
showValues();

// Buttons -------------------------------------------------------------------------------------------------------------
for (const button of document.querySelectorAll("[data-do]")) {
  button.addEventListener("click", () => command(button.dataset.do));
}
for (const control of document.querySelectorAll("[data-set]")) {
  control.addEventListener("change", () => command(control.dataset.set, { value: control.value }));
}
for (const label of document.querySelectorAll("[name=new-label]")) {
  label.addEventListener("change", () => {
    if (bridge) bridge.document.get_model_by_name("point-tool").empty_value = label.value;
  });
}
document.addEventListener("keydown", (event) => {
  if (event.target.closest("input, select, textarea, button, dialog, summary, a")) return;
  if (event.key === " ") {
    event.preventDefault();
    command("toggle");
  } else if (event.key === "s") {
    command("step");
  } else if (event.key === "r") {
    command("reset");
  }
});

// Light and dark ------------------------------------------------------------------------------------------------------
const prefersDark = matchMedia("(prefers-color-scheme: dark)");
function setTheme(dark) {
  document.documentElement.dataset.theme = dark ? "dark" : "light";
  byId("theme").setAttribute("aria-pressed", String(dark));
  if (bridge) bridge.dark = dark;
}
byId("theme").addEventListener("click", () => setTheme(document.documentElement.dataset.theme !== "dark"));
prefersDark.addEventListener("change", (event) => setTheme(event.matches));
setTheme(prefersDark.matches);

// What comes back -----------------------------------------------------------------------------------------------------
function show() {
  const state = JSON.parse(bridge.state);
  for (const [id, text] of Object.entries(state.texts)) {
    const element = byId(id);
    if (element && element.textContent !== text) element.textContent = text;
  }
  const toggle = document.querySelector("[data-do=toggle]");
  if (toggle && toggle.dataset.running !== String(state.running)) {
    toggle.dataset.running = String(state.running);
    toggle.querySelector(".word").textContent = state.running ? "Pause" : "Start";
  }
  if (state.query !== undefined) {
    history.replaceState(null, "", `?${state.query}`);
    const given = new URLSearchParams(state.query);
    if (form) for (const name of ["points", "data"]) {
      const field = form.elements[name];
      if (field && field.value !== (given.get(name) ?? "")) field.value = given.get(name) ?? "";
    }
  }
  if (state.limits) {
    for (const [id, attributes] of Object.entries(state.limits)) {
      for (const [name, value] of Object.entries(attributes)) {
        name === "value" ? (byId(id).value = value) : name === "hidden" ? (byId(id).hidden = value) : byId(id).setAttribute(name, value);
      }
    }
    showValues();
  }
  if (state.digit) showDigit(state.digit);
  // Seen when it is painted; a hidden tab paints nothing, and goes on slowly.
  let done = false;
  const seen = () => {
    if (!done) bridge.seen = state.frame;
    done = true;
  };
  requestAnimationFrame(() => setTimeout(seen, 0));
  setTimeout(seen, 1000);
}

const dialog = byId("script-dialog");
async function copy(text, status) {
  try {
    await navigator.clipboard.writeText(text);
    status.textContent = "Copied.";
  } catch {
    status.textContent = "The browser did not allow it: select the text and copy it.";
  }
}

function showScript() {
  byId("script-text").textContent = bridge.script;
  byId("script-status").textContent = "";
  if (!dialog.open) dialog.showModal();
  copy(bridge.script, byId("script-status"));
}

byId("copy-link")?.addEventListener("click", () => copy(location.href, byId("message")));
byId("script-copy")?.addEventListener("click", () => copy(byId("script-text").textContent, byId("script-status")));

// A digit drawn with the mouse, a finger or a pen ---------------------------------------------------------------------
const pad = byId("pad");
function showDigit({ side, pixels }) {
  const small = new OffscreenCanvas(side, side);
  const image = new ImageData(new Uint8ClampedArray(pixels.flatMap((level) => [level, level, level, 255])), side);
  small.getContext("2d").putImageData(image, 0, 0);
  pad.getContext("2d").drawImage(small, 0, 0, pad.width, pad.height);
}

if (pad) {
  const pen = pad.getContext("2d", { willReadFrequently: true });
  const clear = () => {
    pen.fillStyle = "#000";
    pen.fillRect(0, 0, pad.width, pad.height);
  };
  let last = null;
  let sending = 0;
  const sendDigit = () => {
    clearTimeout(sending);
    sending = setTimeout(() => {
      const pixels = pen.getImageData(0, 0, pad.width, pad.height).data.filter((_, i) => i % 4 === 0);
      command("digit", { pixels: Array.from(pixels), side: pad.width });
    }, 60);
  };
  const place = (event) => {
    const box = pad.getBoundingClientRect();
    return [((event.clientX - box.left) / box.width) * pad.width, ((event.clientY - box.top) / box.height) * pad.height];
  };
  const draw = (event) => {
    const here = place(event);
    pen.strokeStyle = "#fff";
    pen.lineWidth = pad.width / 11;
    pen.lineCap = pen.lineJoin = "round";
    pen.beginPath();
    pen.moveTo(...(last ?? here));
    pen.lineTo(...here);
    pen.stroke();
    last = here;
    sendDigit();
  };
  pad.addEventListener("pointerdown", (event) => (pad.setPointerCapture(event.pointerId), (last = null), draw(event)));
  pad.addEventListener("pointermove", (event) => event.buttons && last && draw(event));
  pad.addEventListener("pointerup", () => (last = null));
  byId("clear-pad").addEventListener("click", () => (clear(), sendDigit()));
  clear();
}

// The start -----------------------------------------------------------------------------------------------------------
(function connect() {
  bridge = globalThis.Bokeh?.documents[0]?.get_model_by_name("bridge") ?? null;
  if (!bridge) {
    setTimeout(connect, 20);
    return;
  }
  bridge.properties.state.change.connect(show);
  bridge.properties.script.change.connect(showScript);
  bridge.dark = document.documentElement.dataset.theme === "dark";
  command("ready");
  if (bridge.state) show();
  document.body.dataset.ready = "true";
})();
