// main.js - puts the page together from the data in it.
import { Alive, rowsOfPeak } from "./alive.js";
import { reconcilePanels } from "./balance.js";
import { Chart } from "./chart.js";
import { ORDER, swatch } from "./colors.js";
import { choice, element, section } from "./dom.js";
import { helpDialog } from "./help.js";
import { leakPanels } from "./leaks.js";
import { Device } from "./model.js";
import { oomPanels } from "./oom.js";
import { ranksPanel } from "./ranks.js";
import { segmentPanels } from "./segments.js";
import { LEVELS } from "./stream.js";
import * as words from "./words.js";

const data = JSON.parse(document.getElementById("data").textContent);
const page = document.getElementById("page");

const peakOf = (trace) => (trace.answers.peak.devices ?? [])
	.reduce((a, b) => !a || b.allocated_bytes > a.allocated_bytes ? b : a, null);

// "Peak 14.2 GiB in backward of step 3, mostly activation".
function headline(trace) {
	const peak = peakOf(trace);
	if (!peak) return "No device memory was allocated through PyTorch";
	const largest = peak.by_bucket.reduce((a, b) => b.bytes > a.bytes ? b : a, { bytes: 0 });
	const share = largest.bytes / peak.allocated_bytes;
	const mostly = share >= .5 ? `, mostly ${largest.bucket}`
		: largest.bucket ? `; the largest part is ${largest.bucket}, ${words.percent(largest.bytes, peak.allocated_bytes)}` : "";
	const fatal = (trace.answers.oom.events ?? []).find((event) => event.fatal);
	return `${fatal ? "Out of memory: peak" : "Peak"} ${words.size(peak.allocated_bytes)} in ${peak.phase} of step ${peak.step}${mostly}`;
}

function legend(device, chart) {
	const most = new Map(chart.bands.map((band) => [band, 0]));
	for (let k = 0; k < device.steps.count && k < 5000; k++) {
		const { levels } = device.peakOf(k);
		for (const band of chart.bands) most.set(band, Math.max(most.get(band), levels[band]));
	}
	const names = chart.bands.filter((band) => most.get(band) > 0)
		.map((band) => band === LEVELS ? "not known" : device.buckets[band]);
	return element("ul", { class: "legend", "aria-label": "buckets" },
		names.map((name) => element("li", {}, element("i", { style: swatch(name) }), name)),
		device.reserved.count ? element("li", {}, element("i", { class: "dash" }), "reserved by PyTorch's allocator") : null);
}

const button = (text, label, act) =>
	element("button", { type: "button", title: label, "aria-label": label, onclick: act }, text);

function thinnedText({ thinned }) {
	if (!thinned.blocks_left_out && thinned.instants_left_out <= 0 && !thinned.names_left_out) return null;
	const parts = [`Thinned for the page: ${words.count(thinned.blocks_left_out)} of ${words.count(thinned.blocks_left_out + thinned.blocks)} blocks are not in it one by one; the curve has all of their bytes.`];
	if (thinned.instants_left_out > 0)
		parts.push(`Between the highest and the lowest instant of each stretch, ${words.count(thinned.instants_left_out)} are left out. Each peak is exact.`);
	if (thinned.names_left_out) parts.push(`${words.plural(thinned.names_left_out, "block")} that live long have no name here.`);
	return element("p", { class: "note thinned" }, parts.join(" "));
}

function axisChoice(chart) {
	return choice("along", ["events", "time"], "events", (axis) => chart.along(axis === "events" ? "event" : "time"));
}

function timeline(trace, drawn, number) {
	const device = new Device(drawn);
	const refusals = (trace.answers.oom.events ?? []).filter((event) => event.device === device.name);
	const alive = new Alive(device, number);
	const answered = (trace.answers.peak.devices ?? []).find((peak) => peak.device === device.name);
	const atPeak = () => alive.show(chart.peak, "at the peak", answered ? rowsOfPeak(trace.answers.peak, answered) : null);
	const chart = new Chart(device, refusals, (instant) =>
		instant.index === chart.peak.index && instant.ordinal === chart.peak.ordinal ? atPeak() : alive.show(instant));
	const axis = axisChoice(chart);
	const tools = element("div", { class: "tools", role: "group", "aria-label": "zoom" }, axis,
		button("peak", "show the step of the peak", () => chart.toPeak()),
		refusals.length ? button("out of memory", "show where memory ran out", () => chart.toRefusal()) : null,
		button("whole run", "show the whole run", () => chart.whole()),
		button("−", "zoom out", () => chart.scaleBy(.5)), button("+", "zoom in", () => chart.scaleBy(2)));
	const node = section(`timeline-${number}`, `Memory over time, ${device.name}`,
		"Each band is what one kind of tensor held, and the highest point is the peak. Zoom in until each block has its own outline, and point at it. The axis counts events, so that idle time takes no room.",
		element("div", { class: "over" }, legend(device, chart), tools), chart.node,
		element("p", { class: "hint", id: "keys-hint" }, "drag to move · wheel to zoom, with Shift the heights · click an instant to see what was alive · ? for keys"),
		thinnedText(device));
	if (chart.peak) {
		chart.pin = chart.peak;
		atPeak();
	}
	return { device, chart, alive, axis, nodes: chart.peak ? [node, alive.node] : [node] };
}

// The command line as people type it: the program without its folder.
const typed = (command) => command?.replace(/^\S*\//, "");

function facts(trace) {
	const run = trace.answers.report.run ?? {};
	const parts = [words.fileName(trace.drawn.name), typed(run.command) ?? run.script, words.plural(trace.answers.report.steps ?? 0, "complete step"),
		run.duration_ns ? words.duration(run.duration_ns) : null, run.torch_version ? `torch ${run.torch_version}` : null,
		run.rank === null || run.rank === undefined ? null : `rank ${run.rank} of ${run.world_size ?? "?"}`,
		run.simulated ? "simulated device" : null];
	return parts.filter(Boolean).join(" · ");
}

// What a reader must know before any figure: losses, a run that goes on.
function doubts(trace) {
	const { drawn, answers } = trace, said = [];
	if (drawn.running) said.push("The run went on when this page was written: it shows the run as of then.");
	if (drawn.incomplete) said.push(`The last events of this run are missing: ${drawn.incomplete}.`);
	const { lost_events: lost, mismatches } = answers.report;
	if (lost || mismatches)
		said.push(`${words.plural(lost ?? 0, "event")} lost, ${words.count(mismatches ?? 0)} of the allocator's totals not met: the figures may be too low.`);
	for (const [command, answer] of Object.entries(answers))
		if (answer.error && command !== "reconcile") said.push(`tidemark ${command} has no answer: ${answer.error}.`);
	return said.map((text) => element("p", { class: "note doubt" }, text));
}

function open(trace, number) {
	const parts = trace.drawn.devices.map((drawn, i) => timeline(trace, drawn, `${number}-${i}`));
	const devices = parts.map((part) => part.device);
	const node = element("article", { "aria-label": trace.drawn.name },
		element("header", {}, element("h1", { "data-peak": peakOf(trace)?.allocated_bytes }, headline(trace)),
			element("p", { class: "facts" }, facts(trace))), doubts(trace));
	const { answers } = trace, refusals = oomPanels(answers.oom, number);
	const charts = parts.flatMap((part) => part.nodes);
	node.append(...charts.slice(0, 1), ...refusals, ...charts.slice(1));
	if (peakOf(trace))
		node.append(...reconcilePanels(answers.reconcile, number), ...segmentPanels(answers.fragmentation, number),
			...leakPanels(answers.leaks, devices, number));
	return { node, parts };
}

const root = document.documentElement;
const isDark = () => (root.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";

// Of several files, the one to look at first: the first that ran out of memory, else the highest.
function worst(traces) {
	const ran = traces.findIndex((trace) => (trace.answers.oom.events ?? []).length);
	if (ran >= 0) return ran;
	const peaks = traces.map((trace) => peakOf(trace)?.allocated_bytes ?? 0);
	return peaks.indexOf(Math.max(...peaks));
}

function start() {
	const opened = [], place = element("div", {});
	let shown = 0;
	const dialog = helpDialog();
	const redraw = () => opened[shown]?.parts.forEach((part) => part.chart.draw());
	const show = (number) => {
		shown = number;
		opened[number] ??= open(data.traces[number], number);
		place.replaceChildren(opened[number].node);
		document.title = `${headline(data.traces[number])} · tidemark`;
		for (const link of document.querySelectorAll("#ranks .link"))
			link.toggleAttribute("aria-current", link.dataset.file === String(number));
	};
	const turn = () => {
		root.dataset.theme = isDark() ? "light" : "dark";
		redraw();
	};
	const help = () => dialog.open ? dialog.close() : dialog.showModal();
	const several = data.traces.length > 1;
	page.append(element("div", { class: "top" }, element("span", { class: "brand" }, "tidemark"),
		button("dark / light", "dark or light", turn), button("?", "keys and licences", help)),
	element("main", {}, several ? ranksPanel(data.traces, (number) => { show(number); place.scrollIntoView(); }) : null, place), dialog);
	if (data.traces.length) show(worst(data.traces));
	matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
	let before;
	const paper = (theme) => {
		if (theme) root.dataset.theme = theme;
		else delete root.dataset.theme;
		opened[shown]?.parts.forEach((part) => part.chart.width && part.chart.paint());
	};
	addEventListener("beforeprint", () => { before = root.dataset.theme; paper("light"); });
	addEventListener("afterprint", () => paper(before));
	const part = () => opened[shown]?.parts[0];
	const keys = { "?": help, t: turn, p: () => part()?.chart.toPeak(), o: () => part()?.chart.toRefusal(),
		e: () => part()?.axis.querySelector("[aria-pressed=false]").click() };
	document.addEventListener("keydown", (event) => {
		if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest?.("input, select, textarea")) return;
		if (dialog.open && event.key !== "?") return;
		if (keys[event.key]) {
			event.preventDefault();
			keys[event.key]();
		}
	});
	window.tidemark = { traces: opened, data, ORDER, show };
}

start();
