// chart.js - the main chart: memory over time by bucket, phases and steps under it. A canvas, with
// d3-zoom for wheel, touch and drag; keys do the same.
import { scaleLinear } from "d3-scale";
import { select } from "d3-selection";
import { zoom, zoomIdentity } from "d3-zoom";
import { BUCKETS, bucketColor, hatching, phaseColor } from "./colors.js";
import { bandsOf, blockAt, columnsOf, outlines } from "./columns.js";
import { element } from "./dom.js";
import { LEVELS } from "./stream.js";
import * as words from "./words.js";

const PHASE = 20, STEP = 20, AXIS = 26, TOP = 26, RIGHT = 14;

const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// Ticks of bytes: one, two or five times a power of two units.
export function byteTicks(most, wanted) {
	const unit = 1024 ** Math.max(0, Math.floor(Math.log(most || 1) / Math.log(1024)));
	let step = unit / 1024;
	for (const factor of [1, 2, 5, 10, 20, 25, 50, 100, 128, 200, 256, 512, 1024, 2048])
		if (most / (step = unit / 1024 * factor) <= wanted) break;
	while (most / step > wanted) step *= 2;
	const ticks = [];
	for (let tick = 0; tick <= most; tick += step) ticks.push(tick);
	return ticks;
}

const tickText = (tick) => tick ? words.size(tick).replace(".00", "") : "0";

export class Chart {
	// chosen(instant): somebody asks what was alive then.
	constructor(device, refusals, chosen) {
		Object.assign(this, { device, refusals, chosen, bands: bandsOf(device), cursor: null, pin: null });
		this.peak = device.peak();
		this.canvas = element("canvas", { tabindex: "0", role: "application", class: "chart",
			"aria-label": this.name(), "aria-describedby": "keys-hint" });
		this.tip = element("div", { class: "tip", role: "status", "aria-live": "polite", hidden: true });
		this.node = element("div", { class: "plot" }, this.canvas, this.tip);
		this.zoom = zoom().filter((event) => event.type !== "dblclick" && !event.button &&
			(event.type !== "wheel" || !event.altKey)).on("zoom", ({ transform }) => {
			this.transform = transform;
			this.draw();
		});
		this.transform = zoomIdentity;
		this.canvas.addEventListener("pointermove", (event) => this.hover(event));
		this.canvas.addEventListener("pointerleave", () => this.leave());
		this.canvas.addEventListener("click", (event) => this.click(event));
		this.canvas.addEventListener("keydown", (event) => this.key(event));
		new ResizeObserver(() => this.resize()).observe(this.node);
		select(this.canvas).call(this.zoom).on("dblclick.zoom", null);
	}

	name() {
		const { device, peak } = this;
		return peak ? `Memory of ${device.name} over time by bucket. The peak is ${words.size(peak.all)}.`
			: `Memory of ${device.name} over time: nothing was allocated.`;
	}

	resize() {
		const width = this.node.clientWidth, height = width < 600 ? 340 : 420;
		if (!width) return;
		this.ratio = window.devicePixelRatio || 1;
		this.left = width < 600 ? 54 : 68;
		Object.assign(this, { width, height, inner: Math.max(50, Math.floor(width - this.left - RIGHT)),
			floor: height - PHASE - STEP - AXIS });
		this.canvas.width = Math.round(width * this.ratio);
		this.canvas.height = Math.round(height * this.ratio);
		this.canvas.style.height = `${height}px`;
		const { begin, end } = this.device, events = Math.max(1, this.device.steps.events.reduce((a, b) => a + b, 0));
		this.zoom.extent([[0, 0], [this.inner, 1]]).translateExtent([[0, 0], [this.inner, 1]])
			.scaleExtent([1, Math.max(64, Math.min(1e7, 4 * events))]);
		this.all = scaleLinear().domain([begin, end > begin ? end : begin + 1]).range([0, this.inner]);
		this.draw();
	}

	most() {
		const total = this.device.total, shown = Math.max(this.device.most, ...this.device.reserved.reserved, 1);
		return total > 0 && total < 1.4 * shown ? total * 1.04 : shown * 1.08;
	}

	draw() {
		if (!this.width || this.waiting) return;
		this.waiting = requestAnimationFrame(() => {
			this.waiting = 0;
			this.paint();
		});
	}

	paint() {
		const pen = this.canvas.getContext("2d");
		this.x = this.transform.rescaleX(this.all);
		this.y = scaleLinear().domain([0, this.most()]).range([this.floor, TOP]);
		const [from, to] = this.x.domain();
		this.columns = columnsOf(this.device, from, to, this.inner);
		pen.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
		pen.clearRect(0, 0, this.width, this.height);
		pen.font = `12px ${style("--font")}`;
		this.paintGrid(pen);
		this.paintBands(pen);
		this.paintBlocks(pen);
		this.paintLines(pen);
		this.paintPhases(pen);
		this.paintSteps(pen);
		this.paintMarks(pen);
	}

	paintGrid(pen) {
		pen.strokeStyle = style("--line");
		pen.fillStyle = style("--soft");
		pen.lineWidth = 1;
		pen.textAlign = "right";
		pen.textBaseline = "middle";
		for (const tick of byteTicks(this.most(), 6)) {
			const y = Math.round(this.y(tick)) + .5;
			pen.beginPath();
			pen.moveTo(this.left, y);
			pen.lineTo(this.left + this.inner, y);
			pen.stroke();
			pen.fillText(tickText(tick), this.left - 8, y);
		}
		pen.textAlign = "center";
		pen.textBaseline = "alphabetic";
		const ticks = this.x.ticks(Math.max(2, Math.floor(this.inner / 110)));
		const [from, to] = this.x.domain(), fine = to - from < (this.device.end - this.device.begin) / 1000;
		for (const tick of ticks) {
			const x = this.left + this.x(tick);
			const text = fine ? `+${words.duration(tick - from)}` : words.duration(tick);
			if (x > this.left + 20 && x < this.left + this.inner - 24) pen.fillText(text, x, this.height - 6);
		}
		pen.textAlign = "left";
		pen.fillText(fine ? words.duration(from) : "time", this.left - (fine ? 60 : 40), this.height - 6);
	}

	paintBands(pen) {
		const floor = new Float64Array(this.inner);
		for (const band of this.bands) {
			const name = band === LEVELS ? "not known" : this.device.buckets[band];
			const path = new Path2D();
			let open = false, any = false;
			const close = (end) => {
				for (let x = end; x > open.from; x--) {
					path.lineTo(this.left + x, this.y(open.floor[x - 1]));
					path.lineTo(this.left + x - 1, this.y(open.floor[x - 1]));
				}
				path.closePath();
				open = false;
			};
			const before = floor.slice();
			for (let x = 0; x <= this.inner; x++) {
				const instant = x < this.inner ? this.columns[x] : null;
				if (!instant) {
					if (open) close(x);
					continue;
				}
				any ||= instant.levels[band] > 0;
				floor[x] += Math.max(0, instant.levels[band]);
				const y = this.y(floor[x]);
				if (!open) {
					path.moveTo(this.left + x, this.y(before[x]));
					open = { from: x, floor: before };
				}
				path.lineTo(this.left + x, y);
				path.lineTo(this.left + x + 1, y);
			}
			if (!any) continue;
			pen.fillStyle = bucketColor(name);
			pen.fill(path);
			const lines = hatching(pen, name, 1);
			if (lines) {
				pen.fillStyle = lines;
				pen.fill(path);
			}
		}
	}

	// The steps of which more than a few pixels are seen.
	stepsSeen(least) {
		const seen = [];
		const [from, to] = this.x.domain();
		const last = this.device.stepAt(to);
		for (let k = this.device.stepAt(from); k <= last && k < this.device.steps.count; k++) {
			const begin = Math.max(0, Math.floor(this.x(this.device.steps.start[k])));
			const end = Math.min(this.inner, Math.ceil(this.x(this.device.steps.end[k])));
			if (end - begin >= least) seen.push([k, begin, end]);
			if (seen.length > 200) break;
		}
		return seen;
	}

	least() {
		return this.most() / (this.floor - TOP) * 1.5;
	}

	paintBlocks(pen) {
		const edge = new Path2D();
		for (const [k, begin, end] of this.stepsSeen(40))
			for (const [, runs] of outlines(this.device, k, this.columns, begin, Math.min(end, this.inner - 1),
				this.least(), this.bands)) {
				if (runs.length < 3) continue;
				let before = null;
				for (const [x, low, high] of runs) {
					const left = this.left + x, top = this.y(high), bottom = this.y(low);
					if (before && before[0] === x - 1) {
						edge.moveTo(left, before[1]);
						edge.lineTo(left, top);
					} else {
						edge.moveTo(left, bottom);
						edge.lineTo(left, top);
					}
					edge.lineTo(left + 1, top);
					before = [x, top, bottom];
				}
				edge.moveTo(this.left + before[0] + 1, before[1]);
				edge.lineTo(this.left + before[0] + 1, before[2]);
			}
		pen.strokeStyle = style("--edge");
		pen.lineWidth = .6;
		pen.stroke(edge);
	}

	paintLines(pen) {
		const total = this.device.total;
		if (total > 0 && total <= this.most()) {
			const y = Math.round(this.y(total)) + .5;
			pen.strokeStyle = style("--alarm");
			pen.lineWidth = 1.5;
			pen.beginPath();
			pen.moveTo(this.left, y);
			pen.lineTo(this.left + this.inner, y);
			pen.stroke();
			pen.fillStyle = style("--alarm");
			pen.textAlign = "left";
			pen.fillText(`all of the device, ${words.size(total)}`, this.left + 4, y - 5);
		}
		pen.strokeStyle = style("--ink");
		pen.lineWidth = 1.5;
		pen.setLineDash([5, 4]);
		pen.beginPath();
		let drawn = false;
		for (let x = 0; x < this.inner; x++) {
			const held = this.columns[x] && this.device.reservedAt(this.x.invert(x + 1));
			if (held === null) continue;
			pen[drawn ? "lineTo" : "moveTo"](this.left + x, this.y(held));
			pen.lineTo(this.left + x + 1, this.y(held));
			drawn = true;
		}
		pen.stroke();
		pen.setLineDash([]);
	}

	strip(pen, top, height, parts) {
		pen.textAlign = "center";
		for (const { from, to, color, text, ink } of parts) {
			const left = this.left + Math.max(0, from), width = Math.min(this.inner, to) - Math.max(0, from);
			if (width <= 0) continue;
			pen.fillStyle = color;
			pen.fillRect(left, top, Math.max(width - (width > 3 ? 1 : 0), .5), height);
			if (text && pen.measureText(text).width + 8 < width) {
				pen.fillStyle = ink;
				pen.fillText(text, left + width / 2, top + height - 5);
			}
		}
	}

	paintPhases(pen) {
		const parts = [];
		for (const [k] of this.stepsSeen(4)) {
			const spans = this.device.shapeOf(k)?.spans ?? [];
			spans.forEach((span, i) => {
				const phase = this.device.phases[span.phase] ?? "other";
				const end = i + 1 < spans.length ? this.device.toStep(k, spans[i + 1].time) : this.device.steps.end[k];
				parts.push({ from: this.x(this.device.toStep(k, span.time)), to: this.x(end),
					color: phaseColor(phase), text: phase, ink: "#fff" });
			});
		}
		this.strip(pen, this.floor + 4, PHASE - 4, parts);
	}

	paintSteps(pen) {
		const parts = [];
		for (const [k] of this.stepsSeen(1)) {
			const id = this.device.steps.id[k];
			parts.push({ from: this.x(this.device.steps.start[k]), to: this.x(this.device.steps.end[k]),
				color: style(id % 2 ? "--odd" : "--even"), text: id ? `step ${id}` : "before the first step",
				ink: style("--ink") });
		}
		for (const part of parts)
			if (part.to - part.from < 70 && part.text.startsWith("step ")) part.text = part.text.slice(5);
		this.strip(pen, this.floor + PHASE + 2, STEP - 4, parts);
	}

	flag(pen, time, height, text, color, sign) {
		const x = this.left + this.x(time), y = this.y(height);
		if (x < this.left - 1 || x > this.left + this.inner + 1) return;
		pen.fillStyle = pen.strokeStyle = color;
		pen.lineWidth = 1;
		pen.beginPath();
		pen.moveTo(x, this.floor);
		pen.lineTo(x, y);
		pen.stroke();
		pen.beginPath();
		pen.arc(x, y, 4, 0, 7);
		pen.fill();
		pen.font = `600 12px ${style("--font")}`;
		const width = pen.measureText(text).width, right = x + width + 16 > this.left + this.inner;
		pen.textAlign = right ? "right" : "left";
		const at = x + (right ? -9 : 9), line = Math.max(14, y - 8 + (sign === "✗" ? 0 : 0));
		pen.lineWidth = 4;
		pen.strokeStyle = style("--paper");
		pen.strokeText(text, at, line);
		pen.fillText(text, at, line);
		pen.font = `12px ${style("--font")}`;
	}

	paintMarks(pen) {
		if (this.peak) this.flag(pen, this.peak.time, this.peak.all, `peak ${words.size(this.peak.all)}`, style("--ink"), "");
		for (const refusal of this.refusals)
			this.flag(pen, refusal.time_ns, this.device.most * .5,
				`✗ ${words.size(refusal.requested_bytes)} refused`, style("--alarm"), "✗");
		for (const [instant, dash] of [[this.pin, []], [this.cursor, [3, 3]]]) {
			if (!instant) continue;
			const x = Math.round(this.left + this.x(instant.time)) + .5;
			pen.strokeStyle = style("--ink");
			pen.lineWidth = 1;
			pen.setLineDash(dash);
			pen.beginPath();
			pen.moveTo(x, TOP);
			pen.lineTo(x, this.floor + PHASE + STEP);
			pen.stroke();
			pen.setLineDash([]);
		}
	}

	instantAt(px) {
		const x = Math.floor(px - this.left);
		return x >= 0 && x < this.inner ? this.columns?.[x] ?? null : null;
	}

	hover(event) {
		if (event.buttons) return;
		const box = this.canvas.getBoundingClientRect();
		this.point(this.instantAt(event.clientX - box.left), event.clientX - box.left, event.clientY - box.top);
	}

	point(instant, x, y) {
		this.cursor = instant;
		this.draw();
		if (!instant) {
			this.tip.hidden = true;
			return;
		}
		const block = y === null ? null : blockAt(this.device, instant, this.y.invert(y), this.least(), this.bands);
		this.tip.replaceChildren(...this.tells(instant, block));
		this.tip.hidden = false;
		const right = x > this.width / 2;
		this.tip.style.left = right ? "" : `${x + 14}px`;
		this.tip.style.right = right ? `${this.width - x + 14}px` : "";
		this.tip.style.top = `${TOP}px`;
	}

	tells(instant, block) {
		const { device } = this, step = device.steps.id[instant.index];
		const phase = device.phaseAt(instant.index, instant.ordinal);
		const reserved = device.reservedAt(instant.time);
		const rows = this.bands.filter((band) => instant.levels[band] > 0).reverse().map((band) => {
			const name = band === LEVELS ? "not known" : device.buckets[band];
			return element("tr", {}, element("td", {}, element("i", { class: `key ${name.replace(" ", "-")}` }), name),
				element("td", { class: "number" }, words.size(instant.levels[band])));
		});
		const head = element("div", { class: "tip-head" },
			element("b", {}, words.size(instant.all)), ` allocated · step ${step}`, phase ? ` · ${phase}` : "");
		const when = element("div", { class: "soft" }, `${words.duration(instant.time)} into the run`,
			reserved === null ? "" : ` · ${words.size(reserved)} reserved`);
		const parts = [head, when, element("table", {}, element("tbody", {}, rows))];
		if (!instant.held)
			parts.push(element("div", { class: "soft" }, "the events of this step were thinned away in the trace: its peak alone is known"));
		if (block) parts.push(this.tellBlock(block));
		return parts;
	}

	tellBlock({ list, i, bucket }) {
		const { device } = this, site = device.sites[list.site[i]], owner = device.owners[list.owner[i]];
		const frame = words.ownFrame(device.stackOf(list.site[i]));
		const name = owner ?? site?.[1] ?? site?.[2] ?? "a block";
		const end = list.diedStep[i] === Infinity ? "never freed" : `freed in step ${list.diedStep[i]}`;
		return element("div", { class: "tip-block" },
			element("b", {}, `${words.size(list.bytes[i])} `), name,
			element("div", {}, [device.buckets[bucket], site?.[2], site?.[3], site?.[4]].filter(Boolean).join(" · ")),
			element("div", { class: "soft" }, `made in step ${list.bornStep[i]}, ${end}`, frame ? ` · ${words.place(frame)}` : ""));
	}

	leave() {
		this.cursor = null;
		this.tip.hidden = true;
		this.draw();
	}

	click(event) {
		const instant = this.instantAt(event.clientX - this.canvas.getBoundingClientRect().left);
		if (instant) this.choose(instant);
	}

	choose(instant) {
		this.pin = instant;
		this.draw();
		this.chosen?.(instant);
	}

	show(from, to) {
		const scale = this.inner / (this.all(to) - this.all(from));
		select(this.canvas).call(this.zoom.transform, zoomIdentity.scale(scale).translate(-this.all(from), 0));
	}

	scaleBy(factor) {
		const at = this.cursor ? this.x(this.cursor.time) : this.inner / 2;
		select(this.canvas).call(this.zoom.scaleBy, factor, [at, 0]);
	}

	whole() {
		select(this.canvas).call(this.zoom.transform, zoomIdentity);
	}

	// Shows a step with a little of its neighbours.
	showStep(index) {
		const k = Math.max(0, Math.min(this.device.steps.count - 1, index));
		const { start, end } = this.device.steps, margin = (end[k] - start[k]) * .05;
		this.show(start[k] - margin, end[k] + margin);
	}

	move(columns) {
		const now = this.cursor ? Math.floor(this.x(this.cursor.time)) : Math.floor(this.inner / 2);
		let x = now + columns;
		while (x >= 0 && x < this.inner && this.columns[x] === this.cursor) x += Math.sign(columns);
		if (x < 0 || x >= this.inner) {
			select(this.canvas).call(this.zoom.translateBy, -columns * 8 / this.transform.k, 0);
			return;
		}
		this.point(this.columns[x], this.left + x, null);
	}

	key(event) {
		const middle = () => this.device.stepAt((this.x.domain()[0] + this.x.domain()[1]) / 2);
		const keys = {
			ArrowLeft: () => this.move(event.shiftKey ? -20 : -1),
			ArrowRight: () => this.move(event.shiftKey ? 20 : 1),
			"+": () => this.scaleBy(2), "=": () => this.scaleBy(2), "-": () => this.scaleBy(.5),
			0: () => this.whole(), Home: () => this.whole(),
			"[": () => this.showStep(middle() - 1), "]": () => this.showStep(middle() + 1),
			Enter: () => this.cursor && this.choose(this.cursor),
			Escape: () => this.leave(),
		};
		if (event.ctrlKey || event.metaKey || event.altKey || !keys[event.key]) return;
		event.preventDefault();
		keys[event.key]();
	}

	toPeak() {
		if (!this.peak) return;
		this.showStep(this.peak.index);
		this.choose(this.peak);
	}
}

export const bucketNames = Object.keys(BUCKETS);
