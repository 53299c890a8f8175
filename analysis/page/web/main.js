// main.js - puts the page together from the data in it.
import { Chart } from "./chart.js";
import { ORDER, swatch } from "./colors.js";
import { element, section } from "./dom.js";
import { Device } from "./model.js";
import { LEVELS } from "./stream.js";
import * as words from "./words.js";

const data = JSON.parse(document.getElementById("data").textContent);
const page = document.getElementById("page");

// "Peak 14.2 GiB in backward of step 3, mostly activation".
function headline(peak) {
	if (!peak) return "No device memory was allocated through PyTorch";
	const largest = peak.by_bucket.reduce((a, b) => b.bytes > a.bytes ? b : a, { bytes: 0 });
	const share = largest.bytes / peak.allocated_bytes;
	const mostly = share >= .5 ? `, mostly ${largest.bucket}` : largest.bucket ? `, ${largest.bucket} most` : "";
	return `Peak ${words.size(peak.allocated_bytes)} in ${peak.phase} of step ${peak.step}${mostly}`;
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
		element("li", {}, element("i", { class: "dash" }), "reserved by PyTorch's allocator"));
}

function button(text, label, act) {
	return element("button", { type: "button", title: label, "aria-label": label, onclick: act }, text);
}

function thinnedText({ thinned }) {
	if (!thinned.blocks_left_out && !thinned.instants_left_out) return null;
	const parts = [`${words.count(thinned.blocks_left_out)} smaller blocks are not in this page one by one; the curve has all of their bytes.`];
	if (thinned.instants_left_out > 0)
		parts.push(`Of ${words.count(thinned.instants_left_out)} instants between the highest and lowest of each stretch the curve has none. Every peak is exact.`);
	return element("p", { class: "note" }, "Thinned for the page: ", parts.join(" "));
}

function timeline(trace, drawn, number) {
	const device = new Device(drawn);
	const refusals = (trace.answers.oom.events ?? []).filter((event) => event.device === device.name && event.time_ns !== undefined);
	const chart = new Chart(device, refusals, null);
	const tools = element("div", { class: "tools", role: "group", "aria-label": "zoom" },
		button("peak", "show the step of the peak", () => chart.toPeak()),
		button("whole run", "show the whole run", () => chart.whole()),
		button("−", "zoom out", () => chart.scaleBy(.5)), button("+", "zoom in", () => chart.scaleBy(2)));
	const made = section(`timeline-${number}`, `Memory over time, ${device.name}`,
		"Each band is what one kind of tensor held; the highest point is the peak. Zoom in until each block has its own outline; hover to read it.",
		element("div", { class: "over" }, legend(device, chart), tools), chart.node,
		element("p", { class: "hint", id: "keys-hint" }, "drag to move · wheel to zoom · click an instant to see what was alive · ? for keys"),
		thinnedText(device));
	return { device, chart, node: made };
}

function facts(trace) {
	const run = trace.answers.report.run ?? {};
	const parts = [run.command ?? run.script, words.plural(trace.answers.report.steps ?? 0, "step"),
		run.duration_ns ? words.duration(run.duration_ns) : null,
		run.torch_version ? `torch ${run.torch_version}` : null, run.simulated ? "simulated device" : null];
	return parts.filter(Boolean).join(" · ");
}

function traceNode(trace, number) {
	const peaks = trace.answers.peak.devices ?? [];
	const peak = peaks.reduce((a, b) => !a || b.allocated_bytes > a.allocated_bytes ? b : a, null);
	const title = headline(peak);
	const node = element("article", { "aria-label": trace.drawn.name },
		element("header", {}, element("h1", { "data-peak": peak?.allocated_bytes }, title),
			element("p", { class: "facts" }, trace.drawn.name, " · ", facts(trace))));
	const parts = trace.drawn.devices.map((drawn, i) => timeline(trace, drawn, `${number}-${i}`));
	node.append(...parts.map((part) => part.node));
	return { node, title, parts };
}

function start() {
	const traces = data.traces.map(traceNode);
	document.title = traces.length ? `${traces[0].title} · tidemark` : "tidemark";
	page.append(element("main", {}, traces.map((trace) => trace.node)));
	window.tidemark = { traces, ORDER };
}

start();
