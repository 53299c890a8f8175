// leaks.js - what `tidemark leaks` answers: what stays behind with each step.
import { scaleLinear } from "d3-scale";
import { element, section, table } from "./dom.js";
import { byteTicks } from "./paint.js";
import * as words from "./words.js";

const SVG = "http://www.w3.org/2000/svg";

function drawn(name, attributes, text) {
	const made = document.createElementNS(SVG, name);
	for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
	if (text !== undefined) made.textContent = text;
	return made;
}

// What was allocated as each step began.
function levels(device) {
	const { steps } = device, width = 760, height = 150, left = 104, floor = height - 24;
	const most = Math.max(1, ...Array.from(steps.allocated).slice(0, 100000));
	const x = scaleLinear().domain([0, Math.max(1, steps.count - 1)]).range([left, width - 12]);
	const y = scaleLinear().domain([0, most]).range([floor, 10]);
	const chart = drawn("svg", { viewBox: `0 0 ${width} ${height}`, class: "small", role: "img",
		"aria-label": "bytes allocated as each step began" });
	for (const tick of byteTicks(most, 3)) {
		chart.append(drawn("line", { x1: left, x2: width - 12, y1: y(tick), y2: y(tick), class: "grid" }),
			drawn("text", { x: left - 8, y: y(tick) + 4, "text-anchor": "end" }, tick ? words.size(tick) : "0"));
	}
	const every = Math.max(1, Math.ceil(steps.count / 2000));
	let path = "";
	for (let k = 0; k < steps.count; k += every) path += `${path ? "L" : "M"}${x(k).toFixed(1)} ${y(steps.allocated[k]).toFixed(1)}`;
	chart.append(drawn("path", { d: path, class: "curve" }),
		drawn("text", { x: left, y: height - 6 }, `step ${steps.id[0] ?? 0}`),
		drawn("text", { x: width - 12, y: height - 6, "text-anchor": "end" }, `step ${steps.id[steps.count - 1] ?? 0}`));
	return chart;
}

function verdict(leaks) {
	if (!leaks.enough_steps) return `${words.plural(leaks.to_step, "complete step")}: too few to tell what grows; it takes four.`;
	if (!leaks.growing.length && leaks.level_rose_bytes > 0)
		return `No block is kept longer and longer, but steps begin with ${words.size(leaks.level_rose_bytes)} more than at step ${leaks.from_step}.`;
	if (!leaks.growing.length) return "Nothing grows from step to step.";
	const full = leaks.full_in_step === null ? "" : ` At this rate the device is full in step ${leaks.full_in_step}.`;
	return `Each step leaves ${words.size(leaks.bytes_per_step)} more behind, in ${words.plural(leaks.growing.length, "place")}; by step ${leaks.to_step} that is ${words.size(leaks.kept_bytes)}.${full}`;
}

function within(leaks) {
	const { within_step: turns, swelling_block: block } = leaks, made = [];
	if (turns) made.push(`Inside step ${turns.step}, each turn of a loop leaves ${words.size(turns.bytes_per_turn)} more behind: ${words.size(turns.kept_bytes)} after ${words.count(turns.turns)} turns.`);
	if (block) made.push(`A block of ${words.size(block.bytes)} is made anew and larger each time, by ${words.size(block.grows_by_bytes)}.`);
	return made.map((text) => element("p", {}, text));
}

const place = (line) => line?.file ? `${words.fileName(line.file)}:${line.line ?? line.number}` : null;

export function leakPanels(answer, devices, number) {
	return (answer.devices ?? []).map((leaks, i) => {
		const device = devices.find((one) => one.name === leaks.device);
		return section(`leaks-${number}-${i}`, `What stays behind, ${leaks.device}`,
			"A training should need the same memory in each step; memory that every step adds to is a leak.",
			element("p", { class: "verdict" }, verdict(leaks)), ...within(leaks), device ? levels(device) : null,
			device ? element("p", { class: "hint" }, "allocated as each step began") : null,
			leaks.growing.length ? table([">a step", ">kept", "made by", "shape", "bucket", "line"],
				leaks.growing.slice(0, 15).map((row) => [words.size(row.bytes_per_step), words.size(row.bytes),
					row.owner ?? row.module ?? row.op, row.shape, row.bucket, place(row.line)]), { label: "what grows" }) : null);
	});
}
