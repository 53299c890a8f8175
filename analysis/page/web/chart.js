// chart.js - the main chart: memory over time by bucket, phases and steps under it. A canvas, with
// d3-zoom for wheel, touch and drag; keys do the same.
import { scaleLinear } from "d3-scale";
import { select } from "d3-selection";
import { zoom, zoomIdentity } from "d3-zoom";
import { swatch } from "./colors.js";
import { bandsOf, blockAt, columnsOf } from "./columns.js";
import { element } from "./dom.js";
import { LEVELS } from "./stream.js";
import { AXIS, PHASE, RIGHT, STEP, TOP, paint } from "./paint.js";
import * as words from "./words.js";

export class Chart {
	// chosen(instant): somebody asks what was alive then.
	constructor(device, refusals, chosen) {
		Object.assign(this, { device, refusals, chosen, bands: bandsOf(device), cursor: null, pin: null, low: 0 });
		this.high = this.most();
		this.peak = device.peak();
		this.canvas = element("canvas", { tabindex: "0", role: "application", class: "chart",
			"aria-label": this.name(), "aria-describedby": "keys-hint" });
		this.tip = element("div", { class: "tip", role: "status", "aria-live": "polite", hidden: true });
		this.node = element("div", { class: "plot" }, this.canvas, this.tip);
		this.zoom = zoom().filter((event) => event.type !== "dblclick" && !event.button &&
			(event.type !== "wheel" || (!event.altKey && !event.shiftKey))).on("zoom", ({ transform, sourceEvent }) => {
			this.transform = transform;
			if (sourceEvent?.type === "mousemove") this.lift(sourceEvent.movementY / (this.floor - TOP));
			this.draw();
		});
		this.transform = zoomIdentity;
		this.canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
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
		this.left = 68;
		Object.assign(this, { width, height, inner: Math.max(50, Math.floor(width - this.left - RIGHT)),
			floor: height - PHASE - STEP - AXIS });
		this.canvas.width = Math.round(width * this.ratio);
		this.canvas.height = Math.round(height * this.ratio);
		this.canvas.style.height = `${height}px`;
		this.zoom.extent([[0, 0], [this.inner, 1]]).translateExtent([[0, 0], [this.inner, 1]])
			.scaleExtent([1, Math.max(64, this.device.first[this.device.steps.count] / 4)]);
		this.span();
		this.draw();
	}

	span() {
		const { begin, end } = this.device;
		this.all = scaleLinear().domain([begin, end > begin ? end : begin + 1]).range([0, this.inner]);
	}

	// "event" or "time": what the chart goes along.
	along(axis) {
		this.device.axis = axis;
		this.span();
		this.whole();
	}

	most() {
		if (!this.top) {
			const { total } = this.device;
			const shown = this.device.reserved.reserved.reduce((a, b) => Math.max(a, b), Math.max(this.device.most, 1));
			this.top = total > 0 && total < 1.4 * shown ? total * 1.04 : shown * 1.08;
		}
		return this.top;
	}

	draw() {
		if (!this.width || this.waiting) return;
		this.waiting = requestAnimationFrame(() => {
			this.waiting = 0;
			this.paint();
		});
	}

	paint() {
		this.x = this.transform.rescaleX(this.all);
		this.y = scaleLinear().domain([this.low, this.high]).range([this.floor, TOP]);
		const [from, to] = this.x.domain();
		this.columns = columnsOf(this.device, from, to, this.inner);
		paint(this);
	}

	// The steps of which more than a few pixels are seen.
	stepsSeen(least) {
		const seen = [];
		const [from, to] = this.x.domain();
		const last = this.device.stepAt(to);
		for (let k = this.device.stepAt(from); k <= last && k < this.device.steps.count; k++) {
			const begin = Math.max(0, Math.floor(this.x(this.device.startOf(k))));
			const end = Math.min(this.inner, Math.ceil(this.x(this.device.endOf(k))));
			if (end - begin >= least) seen.push([k, begin, end]);
			if (seen.length > 200) break;
		}
		return seen;
	}

	least() {
		return (this.high - this.low) / (this.floor - TOP) * 1.5;
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
			return element("tr", {}, element("td", {}, element("i", { class: "key", style: swatch(name) }), name),
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
		const { device } = this, site = device.sites[list.site[i]];
		const name = device.blockName(list, i);
		const end = list.diedStep[i] === Infinity ? "never freed" : `freed in step ${list.diedStep[i]}`;
		return element("div", { class: "tip-block" },
			element("b", {}, `${words.size(list.bytes[i])} `), name,
			element("div", {}, [device.buckets[bucket], site?.[2], site?.[3], site?.[4]].filter(Boolean).join(" · ")),
			element("div", { class: "soft" }, `made in step ${list.bornStep[i]}, ${end}`, site?.[7] ? ` · ${site[7]}` : ""));
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
		const at = this.cursor ? this.x(this.device.placeOf(this.cursor)) : this.inner / 2;
		select(this.canvas).call(this.zoom.scaleBy, factor, [at, 0]);
	}

	// Shift and wheel: heights, around the one pointed at.
	wheel(event) {
		if (!event.shiftKey || !this.y) return;
		event.preventDefault();
		const turn = Math.abs(event.deltaY) > Math.abs(event.deltaX) ? event.deltaY : event.deltaX;
		this.stretch(2 ** (turn / 400), this.y.invert(event.clientY - this.canvas.getBoundingClientRect().top));
	}

	// Shows so many times as many bytes, with one height where it is.
	stretch(factor, around) {
		const most = this.most(), range = Math.min(most, Math.max(16 * 512, (this.high - this.low) * factor));
		const share = (around - this.low) / (this.high - this.low);
		this.low = Math.max(0, Math.min(most - range, around - share * range));
		this.high = this.low + range;
		this.draw();
	}

	// Moves the heights by a share of what is shown.
	lift(share) {
		const range = this.high - this.low;
		this.low = Math.max(0, Math.min(this.most() - range, this.low + share * range));
		this.high = this.low + range;
		this.draw();
	}

	whole() {
		this.low = 0;
		this.high = this.most();
		select(this.canvas).call(this.zoom.transform, zoomIdentity);
	}

	// Shows a step with a little of its neighbours.
	showStep(index) {
		const k = Math.max(0, Math.min(this.device.steps.count - 1, index));
		const from = this.device.startOf(k), to = this.device.endOf(k), margin = (to - from) * .04;
		this.show(from - margin, to + margin);
	}

	move(columns) {
		const now = this.cursor ? Math.floor(this.x(this.device.placeOf(this.cursor))) : Math.floor(this.inner / 2);
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
			ArrowUp: () => event.shiftKey ? this.stretch(.5, this.low) : this.lift(.1),
			ArrowDown: () => event.shiftKey ? this.stretch(2, this.low) : this.lift(-.1),
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
		this.canvas.focus({ preventScroll: true });
	}

	// To the last refusal; the instant is the one just before it.
	toRefusal() {
		const refusal = this.refusals[this.refusals.length - 1];
		if (!refusal) return;
		const index = this.device.indexOf.get(refusal.step);
		if (index === undefined) return;
		this.showStep(index);
		this.choose(this.device.at(this.device.placeOfTime(refusal.time_ns)));
		this.canvas.focus({ preventScroll: true });
	}
}
