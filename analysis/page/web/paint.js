// paint.js - the picture of a chart on its canvas: grid, bands, outlines of blocks, lines, strips
// of phases and steps, marks. chart.js says what is seen and what is pointed at.
import { bucketColor, hatching, phaseColor } from "./colors.js";
import { outlines } from "./columns.js";
import { LEVELS } from "./stream.js";
import * as words from "./words.js";

export const PHASE = 20, STEP = 20, AXIS = 26, TOP = 28, RIGHT = 14;

export const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// Ticks of bytes: round numbers of the unit, not more than wanted.
export function byteTicks(most, wanted, low = 0) {
	const range = Math.max(1, most - low);
	const unit = 1024 ** Math.max(0, Math.floor(Math.log(range) / Math.log(1024)));
	const factors = [1 / 16, .125, .25, .5, 1, 2, 5, 10, 20, 50, 100, 128, 256, 512];
	const step = Math.max(1, unit * (factors.find((factor) => range / (unit * factor) <= wanted) ?? 512));
	const ticks = [];
	for (let tick = Math.ceil(low / step) * step; tick <= most; tick += step) ticks.push(tick);
	return ticks;
}

const tickText = (tick) => tick ? words.size(tick).replace(/\.00 /, " ").replace(/(\.\d)0 /, "$1 ") : "0";

function bytesAxis(chart, pen) {
	pen.strokeStyle = style("--line");
	pen.fillStyle = style("--soft");
	pen.lineWidth = 1;
	pen.textAlign = "right";
	pen.textBaseline = "middle";
	for (const tick of byteTicks(chart.high, 6, chart.low)) {
		const y = Math.round(chart.y(tick)) + .5;
		pen.beginPath();
		pen.moveTo(chart.left, y);
		pen.lineTo(chart.left + chart.inner, y);
		pen.stroke();
		pen.fillText(tickText(tick), chart.left - 8, y);
	}
	pen.textBaseline = "alphabetic";
	pen.textAlign = "left";
	pen.fillText("allocated", 2, 12);
}

function placesAxis(chart, pen) {
	const events = chart.device.axis === "event";
	const [from, to] = chart.x.domain();
	const fine = !events && to - from < (chart.device.end - chart.device.begin) / 500;
	const text = (tick) => events ? words.count(tick)
		: fine ? `+${words.duration(tick - from)}` : words.duration(tick);
	pen.fillStyle = style("--soft");
	pen.textAlign = "center";
	let free = chart.left + (fine ? 60 : 44);
	for (const tick of chart.x.ticks(Math.max(2, Math.floor(chart.inner / 120)))) {
		if (events && !Number.isInteger(tick)) continue;
		const x = chart.left + chart.x(tick), half = pen.measureText(text(tick)).width / 2;
		if (x - half < free || x + half > chart.left + chart.inner) continue;
		pen.fillText(text(tick), x, chart.height - 6);
		free = x + half + 12;
	}
	pen.textAlign = "left";
	pen.fillText(events ? "events" : fine ? `${words.duration(from)}` : "time", 2, chart.height - 6);
}

// The area between two edges, with a step at each column.
function area(chart, low, high) {
	const path = new Path2D();
	let from = -1;
	for (let x = 0; x <= chart.inner; x++) {
		const there = x < chart.inner && chart.columns[x];
		if (there) {
			if (from < 0) {
				from = x;
				path.moveTo(chart.left + x, chart.y(low[x]));
			}
			path.lineTo(chart.left + x, chart.y(high[x]));
			path.lineTo(chart.left + x + 1, chart.y(high[x]));
		} else if (from >= 0) {
			for (let back = x - 1; back >= from; back--) {
				path.lineTo(chart.left + back + 1, chart.y(low[back]));
				path.lineTo(chart.left + back, chart.y(low[back]));
			}
			path.closePath();
			from = -1;
		}
	}
	return path;
}

function bands(chart, pen) {
	let low = new Float64Array(chart.inner);
	for (const band of chart.bands) {
		const name = band === LEVELS ? "not known" : chart.device.buckets[band];
		const high = low.map((edge, x) => edge + Math.max(0, chart.columns[x]?.levels[band] ?? 0));
		if (high.some((edge, x) => edge > low[x])) {
			const path = area(chart, low, high), lines = hatching(pen, name, 1);
			pen.fillStyle = bucketColor(name);
			pen.fill(path);
			if (lines) {
				pen.fillStyle = lines;
				pen.fill(path);
			}
		}
		low = high;
	}
}

function edgeOf(chart, runs, edge) {
	let before = null;
	for (const [x, low, high] of runs) {
		const left = chart.left + x, top = chart.y(high), bottom = chart.y(low);
		const joined = before && before[0] === x - 1;
		// Where it is only pushed up or down by others, the jump itself is not drawn.
		if (joined) edge[Math.abs(before[1] - top) < 3 ? "lineTo" : "moveTo"](left, top);
		else {
			edge.moveTo(left, bottom);
			edge.lineTo(left, top);
		}
		edge.lineTo(left + 1, top);
		before = [x, top, bottom];
	}
	edge.moveTo(chart.left + before[0] + 1, before[1]);
	edge.lineTo(chart.left + before[0] + 1, before[2]);
}

function blocks(chart, pen) {
	const edge = new Path2D();
	for (const [k, begin, end] of chart.stepsSeen(40))
		for (const [block, runs] of outlines(chart.device, k, chart.columns, begin,
			Math.min(end, chart.inner - 1), chart.least(), chart.bands)) {
			if (runs.length < 3) continue;
			edgeOf(chart, runs, edge);
			name(chart, pen, block, runs);
		}
	pen.strokeStyle = style("--edge");
	pen.lineWidth = .6;
	pen.stroke(edge);
}

// A name on a block that has room for it: where it lies still, in its middle.
function name(chart, pen, block, runs) {
	const still = runs.filter(([, low, high]) => low === runs[0][1] && high === runs[0][2]);
	const height = chart.y(runs[0][1]) - chart.y(runs[0][2]);
	if (height < 15 || still.length < 90) return;
	const text = `${chart.device.blockName(block.list, block.i)}  ${words.size(block.bytes)}`;
	if (pen.measureText(text).width + 12 > still.length) return;
	const dark = ["input", "activation", "gradient", "not known"].includes(chart.device.buckets[block.bucket]);
	pen.fillStyle = dark ? "#10161b" : "#fff";
	pen.textAlign = "left";
	pen.textBaseline = "middle";
	pen.fillText(text, chart.left + still[0][0] + 6, (chart.y(runs[0][1]) + chart.y(runs[0][2])) / 2);
	pen.textBaseline = "alphabetic";
}

function limit(chart, pen) {
	const { total } = chart.device;
	if (!(total > chart.low && total <= chart.high)) return;
	const y = Math.round(chart.y(total)) + .5;
	pen.strokeStyle = pen.fillStyle = style("--alarm");
	pen.lineWidth = 1.5;
	pen.beginPath();
	pen.moveTo(chart.left, y);
	pen.lineTo(chart.left + chart.inner, y);
	pen.stroke();
	pen.textAlign = "left";
	pen.fillText(`all of the device, ${words.size(total)}`, chart.left + 4, y - 5);
}

function reserved(chart, pen) {
	let drawn = false;
	pen.beginPath();
	for (let x = 0; x < chart.inner; x++) {
		const held = chart.columns[x] ? chart.device.reservedAt(chart.columns[x].time) : null;
		if (held === null) continue;
		pen[drawn ? "lineTo" : "moveTo"](chart.left + x, chart.y(held));
		pen.lineTo(chart.left + x + 1, chart.y(held));
		drawn = true;
	}
	pen.strokeStyle = style("--ink");
	pen.lineWidth = 1.5;
	pen.setLineDash([5, 4]);
	pen.stroke();
	pen.setLineDash([]);
}

function strip(chart, pen, top, height, parts) {
	pen.textAlign = "center";
	for (const { from, to, color, text, ink } of parts) {
		const begin = Math.max(0, from), width = Math.min(chart.inner, to) - begin;
		if (width <= 0) continue;
		const left = chart.left + begin;
		pen.fillStyle = color;
		pen.fillRect(left, top, Math.max(width - (width > 3 ? 1 : 0), .5), height);
		if (text && pen.measureText(text).width + 8 < width) {
			pen.fillStyle = ink;
			pen.fillText(text, left + width / 2, top + height - 4);
		}
	}
}

function phases(chart, pen) {
	const { device } = chart, parts = [];
	for (const [k] of chart.stepsSeen(4)) {
		const spans = device.shapeOf(k)?.spans ?? [];
		spans.forEach((span, i) => {
			const phase = device.phases[span.phase] ?? "other";
			const end = i + 1 < spans.length ? device.placeOfSpan(k, spans[i + 1]) : device.endOf(k);
			parts.push({ from: chart.x(device.placeOfSpan(k, span)), to: chart.x(end),
				color: phaseColor(phase), text: phase, ink: "#fff" });
		});
	}
	strip(chart, pen, chart.floor + 4, PHASE - 4, parts);
}

function steps(chart, pen) {
	const { device } = chart;
	const parts = chart.stepsSeen(1).map(([k]) => {
		const id = device.steps.id[k];
		const from = chart.x(device.startOf(k)), to = chart.x(device.endOf(k));
		const text = id ? to - from < 70 ? `${id}` : `step ${id}` : to - from < 90 ? "0" : "before step 1";
		return { from, to, color: style(id % 2 ? "--odd" : "--even"), text, ink: style("--ink") };
	});
	strip(chart, pen, chart.floor + PHASE + 2, STEP - 4, parts);
}

function flag(chart, pen, place, height, text, color) {
	const x = chart.left + chart.x(place), y = chart.y(height);
	if (x < chart.left - 1 || x > chart.left + chart.inner + 1 || y < TOP - 14 || y > chart.floor) return;
	pen.fillStyle = pen.strokeStyle = color;
	pen.lineWidth = 1;
	pen.beginPath();
	pen.moveTo(x, chart.floor);
	pen.lineTo(x, y);
	pen.stroke();
	pen.beginPath();
	pen.arc(x, y, 4, 0, 7);
	pen.fill();
	pen.font = `600 12px ${style("--font")}`;
	const right = x + pen.measureText(text).width + 16 > chart.left + chart.inner;
	pen.textAlign = right ? "right" : "left";
	const at = x + (right ? -9 : 9), line = Math.max(14, y - 6);
	pen.lineWidth = 4;
	pen.lineJoin = "round";
	pen.strokeStyle = style("--paper");
	pen.strokeText(text, at, line);
	pen.fillText(text, at, line);
	pen.font = `12px ${style("--font")}`;
}

function marks(chart, pen) {
	const { device, peak } = chart;
	if (peak) flag(chart, pen, device.placeOf(peak), peak.all, `peak ${words.size(peak.all)}`, style("--ink"));
	for (const refusal of chart.refusals)
		flag(chart, pen, device.placeOfTime(refusal.time_ns), refusal.allocated_bytes * .88,
			`✗ ${words.size(refusal.requested_bytes)} refused`, style("--alarm"));
	for (const [instant, dash] of [[chart.pin, []], [chart.cursor, [3, 3]]]) {
		if (!instant) continue;
		const x = Math.round(chart.left + chart.x(device.placeOf(instant))) + .5;
		pen.strokeStyle = style("--ink");
		pen.lineWidth = 1;
		pen.setLineDash(dash);
		pen.beginPath();
		pen.moveTo(x, TOP);
		pen.lineTo(x, chart.floor + PHASE + STEP);
		pen.stroke();
		pen.setLineDash([]);
	}
}

export function paint(chart) {
	const pen = chart.canvas.getContext("2d");
	pen.setTransform(chart.ratio, 0, 0, chart.ratio, 0, 0);
	pen.clearRect(0, 0, chart.width, chart.height);
	pen.font = `12px ${style("--font")}`;
	bytesAxis(chart, pen);
	placesAxis(chart, pen);
	pen.save();
	pen.beginPath();
	pen.rect(chart.left, chart.low ? TOP : 0, chart.inner, chart.floor - (chart.low ? TOP : 0));
	pen.clip();
	bands(chart, pen);
	blocks(chart, pen);
	limit(chart, pen);
	reserved(chart, pen);
	pen.restore();
	phases(chart, pen);
	steps(chart, pen);
	marks(chart, pen);
}
