// help.js - what the keys do, and the licences of what this page is made of.
import { element } from "./dom.js";

const KEYS = [
	["← →", "move the cursor in the chart; with Shift farther"], ["+ −", "zoom in and out at the cursor"],
	["↑ ↓", "move up and down where heights are zoomed; with Shift zoom them"],
	["0", "the whole run"], ["[ ]", "the step before, the step after"], ["p", "the peak"],
	["o", "where memory ran out"], ["Enter", "what was alive at the cursor"], ["e", "along events or along time"],
	["t", "dark or light"], ["?", "this list"], ["Esc", "close"],
];

export function helpDialog() {
	const dialog = element("dialog", { "aria-labelledby": "help-title" },
		element("h2", { id: "help-title" }, "Keys"),
		element("dl", { class: "keys" }, KEYS.flatMap(([key, what]) => [element("dt", {}, element("kbd", {}, key)), element("dd", {}, what)])),
		element("p", { class: "says" }, "Wheel or two fingers zoom along, Shift and wheel zoom heights, dragging moves, a click chooses an instant. Alt and wheel scrolls the page over a chart."),
		element("details", {}, element("summary", {}, "Licences of what this page is made of"),
			element("pre", {}, document.getElementById("licences").textContent)),
		element("form", { method: "dialog" }, element("button", {}, "close")));
	return dialog;
}
