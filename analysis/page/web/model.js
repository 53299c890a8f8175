// model.js - one device over time: what each bucket held at any instant, and which blocks.
// In a step lives what lives through all of it (long blocks), and what its shape says is born or
// dies in it; steps of one shape share those blocks (schema.sql, folding).
import { LEVELS, Stream, curve, readLong, readReserved, readShapes, readSteps } from "./stream.js";

// The index of the last value that is not above the wanted one; -1: all are.
export function lastNotAbove(values, wanted, count = values.length) {
	let low = 0, high = count;
	while (low < high) {
		const middle = (low + high) >> 1;
		if (values[middle] <= wanted) low = middle + 1;
		else high = middle;
	}
	return low - 1;
}

// Answers which value of a range is the highest: the first of several.
export class Highest {
	constructor(values) {
		this.values = values;
		this.size = 1;
		while (this.size < values.length) this.size *= 2;
		this.tree = new Int32Array(2 * this.size).fill(-1);
		for (let i = 0; i < values.length; i++) this.tree[this.size + i] = i;
		for (let i = this.size - 1; i; i--)
			this.tree[i] = this.better(this.tree[2 * i], this.tree[2 * i + 1]);
	}

	better(a, b) {
		if (a < 0) return b;
		if (b < 0) return a;
		return this.values[b] > this.values[a] || (this.values[b] === this.values[a] && b < a) ? b : a;
	}

	// From first to last, both counted in; -1 for an empty range.
	between(first, last) {
		let best = -1;
		for (let a = first + this.size, b = last + this.size + 1; a < b; a >>= 1, b >>= 1) {
			if (a & 1) best = this.better(best, this.tree[a++]);
			if (b & 1) best = this.better(best, this.tree[--b]);
		}
		return best;
	}
}

// The curve of a shape that has all of its blocks.
function curveOf(shape) {
	const { blocks, step } = shape, turns = [];
	const level = new Float64Array(LEVELS);
	for (let i = 0; i < blocks.count; i++) {
		if (blocks.bornStep[i] < step) level[blocks.bucket[i]] += blocks.bytes[i];
		else turns.push(i);
		if (blocks.died[i] < Infinity) turns.push(-i - 1);
	}
	const ordinal = (turn) => turn >= 0 ? blocks.born[turn] : blocks.died[-turn - 1];
	turns.sort((a, b) => ordinal(a) - ordinal(b));
	const made = curve(turns.length + 1);
	for (let i = 0; i <= turns.length; i++) {
		if (i) {
			const turn = turns[i - 1], born = turn >= 0, block = born ? turn : -turn - 1;
			level[blocks.bucket[block]] += born ? blocks.bytes[block] : -blocks.bytes[block];
			made.time[i] = born ? blocks.bornTime[block] : blocks.diedTime[block];
			made.ordinal[i] = ordinal(turn);
		} else {
			made.time[0] = shape.start;
			made.ordinal[0] = -1;
		}
		for (let b = 0; b < LEVELS; b++) {
			made.of[b][i] = level[b];
			made.all[i] += level[b];
		}
	}
	return made;
}

export class Device {
	constructor(drawn) {
		Object.assign(this, { name: drawn.device, product: drawn.product, total: drawn.total_bytes,
			thinned: drawn.thinned, sites: drawn.sites, owners: drawn.owners,
			stacks: drawn.stacks, frames: drawn.frames, phases: drawn.phases,
			buckets: drawn.buckets });
		const stream = new Stream(drawn.bytes);
		this.steps = readSteps(stream);
		this.reserved = readReserved(stream);
		this.long = readLong(stream);
		this.shapes = readShapes(stream, this.steps);
		this.axis = "event";
		this.first = new Float64Array(this.steps.count + 1); // events before each step
		for (let i = 0; i < this.steps.count; i++)
			this.first[i + 1] = this.first[i] + Math.max(1, this.steps.events[i]);
		this.indexOf = new Map();
		for (let i = 0; i < this.steps.count; i++) this.indexOf.set(this.steps.id[i], i);
		this.holdLong();
		this.highest = new Highest(this.steps.peak);
		this.most = this.steps.count ? this.steps.peak[this.highest.between(0, this.steps.count - 1)] : 0;
		this.alive = new Map();
	}

	// What lives through the whole of each step, by bucket.
	holdLong() {
		const { count, id } = this.steps, { long } = this;
		const last = count ? id[count - 1] : 0;
		this.through = Array.from({ length: LEVELS }, () => new Float64Array(last + 2));
		for (let i = 0; i < long.count; i++) {
			const level = this.through[long.bucket[i]];
			if (!level || long.bornStep[i] + 1 > last) continue;
			level[long.bornStep[i] + 1] += long.bytes[i];
			if (long.diedStep[i] <= last) level[long.diedStep[i]] -= long.bytes[i];
		}
		for (const level of this.through)
			for (let k = 1; k < level.length; k++) level[k] += level[k - 1];
	}

	shapeOf(index) {
		return this.shapes.get(this.steps.pattern[index]);
	}

	curveOf(index) {
		const shape = this.shapeOf(index);
		if (!shape) return null;
		if (!shape.curve) {
			shape.curve = shape.sampled ?? curveOf(shape);
			shape.highest = new Highest(shape.curve.all);
		}
		return shape.curve;
	}

	// Times of a shape become times of a step that has it, and back.
	toStep(index, time) {
		const pattern = this.indexOf.get(this.steps.pattern[index]) ?? index;
		if (pattern === index) return time;
		const { start, end } = this.steps, length = end[pattern] - start[pattern];
		const scale = length > 0 ? (end[index] - start[index]) / length : 0;
		return start[index] + (time - start[pattern]) * scale;
	}

	toShape(index, time) {
		const pattern = this.indexOf.get(this.steps.pattern[index]) ?? index;
		if (pattern === index) return time;
		const { start, end } = this.steps, length = end[index] - start[index];
		const scale = length > 0 ? (end[pattern] - start[pattern]) / length : 0;
		return start[pattern] + (time - start[index]) * scale;
	}

	// Places on the axis of the chart are events since the run began, or nanoseconds.
	get begin() {
		return this.axis === "event" || !this.steps.count ? 0 : this.steps.start[0];
	}

	get end() {
		const { count } = this.steps;
		return this.axis === "event" ? this.first[count] : count ? this.steps.end[count - 1] : 0;
	}

	startOf(index) {
		return this.axis === "event" ? this.first[index] : this.steps.start[index];
	}

	endOf(index) {
		return this.axis === "event" ? this.first[index + 1] : this.steps.end[index];
	}

	placeOf(instant) {
		if (this.axis === "time") return instant.time;
		const inside = Math.min(instant.ordinal + 1, this.first[instant.index + 1] - this.first[instant.index]);
		return this.first[instant.index] + Math.max(0, inside);
	}

	placeOfSpan(index, span) {
		return this.axis === "event" ? this.first[index] + Math.max(0, span.first) : this.toStep(index, span.time);
	}

	placeOfTime(time) {
		if (this.axis === "time") return time;
		const index = Math.max(0, lastNotAbove(this.steps.start, time, this.steps.count));
		const made = this.curveOf(index);
		if (!made) return this.first[index];
		return this.placeOf(this.instant(index, Math.max(0, lastNotAbove(made.time, this.toShape(index, time)))));
	}

	stepAt(place) {
		const starts = this.axis === "event" ? this.first : this.steps.start;
		return Math.max(0, lastNotAbove(starts, place, this.steps.count));
	}

	phaseAt(index, ordinal) {
		const spans = this.shapeOf(index)?.spans ?? [];
		let phase = null;
		for (const span of spans) {
			if (span.first > Math.max(ordinal, 0)) break;
			phase = span.phase;
		}
		return phase === null ? null : this.phases[phase];
	}

	// An instant: levels[b] by bucket, and what no bucket explains in the last place.
	instant(index, sample) {
		const { steps } = this, made = this.curveOf(index);
		const levels = new Float64Array(LEVELS + 1);
		if (!made) {
			levels[LEVELS] = steps.peak[index];
			return { index, sample: -1, ordinal: steps.ordinal[index], levels,
				time: steps.peakTime[index], all: steps.peak[index], held: false };
		}
		let seen = 0, begin = 0;
		for (let b = 0; b < LEVELS; b++) {
			const through = this.through[b][steps.id[index]] ?? 0;
			levels[b] = through + made.of[b][sample];
			seen += levels[b];
			begin += through + made.of[b][0];
		}
		levels[LEVELS] = steps.flags[index] & 4 ? steps.allocated[index] - begin : 0;
		return { index, sample, ordinal: made.ordinal[sample], levels,
			time: this.toStep(index, made.time[sample]), all: seen + levels[LEVELS], held: true };
	}

	sampleAt(index, place) {
		const made = this.curveOf(index);
		if (!made) return -1;
		return Math.max(0, this.axis === "event" ? lastNotAbove(made.ordinal, place - this.first[index] - 1)
			: lastNotAbove(made.time, this.toShape(index, place)));
	}

	at(place) {
		const index = this.stepAt(place);
		return this.instant(index, this.sampleAt(index, place));
	}

	// The highest instant of a step between two places.
	highestIn(index, from, to) {
		const made = this.curveOf(index);
		if (!made) return this.instant(index, -1);
		const first = this.sampleAt(index, from), last = Math.max(first, this.sampleAt(index, to));
		return this.instant(index, this.shapeOf(index).highest.between(first, last));
	}

	// The highest instant of a stretch, over any number of steps.
	highestBetween(from, to) {
		const first = this.stepAt(from), last = this.stepAt(to);
		let best = this.highestIn(first, from, first === last ? to : this.endOf(first));
		if (first === last) return best;
		const take = (other) => { if (other.all > best.all) best = other; };
		const between = last - first > 1 ? this.highest.between(first + 1, last - 1) : -1;
		if (between >= 0) take(this.peakOf(between));
		take(this.highestIn(last, this.startOf(last), to));
		return best;
	}

	peakOf(index) {
		const made = this.curveOf(index);
		return this.instant(index, made ? this.shapeOf(index).highest.between(0, made.count - 1) : -1);
	}

	peak() {
		const index = this.highest.between(0, this.steps.count - 1);
		return index < 0 ? null : this.peakOf(index);
	}

	reservedAt(time) {
		const i = lastNotAbove(this.reserved.time, time);
		return i < 0 ? null : this.reserved.reserved[i];
	}

	// The long blocks that live through a step.
	longAlive(index) {
		if (!this.alive.has(index)) {
			const { long } = this, step = this.steps.id[index], list = [];
			for (let i = 0; i < long.count; i++)
				if (long.bornStep[i] < step && long.diedStep[i] > step) list.push(i);
			if (this.alive.size > 64) this.alive.clear();
			this.alive.set(index, list);
		}
		return this.alive.get(index);
	}

	// What a person would call a block: its tensor's name, else its module, else its operator.
	blockName(list, i) {
		const site = this.sites[list.site[i]];
		return this.owners[list.owner[i]] ?? site?.[1] ?? site?.[2] ?? site?.[7] ?? "a block";
	}

	// The frames of a site's stack, innermost first: [function, file, line].
	stackOf(site) {
		const frames = [];
		for (let at = this.sites[site]?.[6] ?? -1; at >= 0 && frames.length < 1024; at = this.stacks[at][0])
			frames.push(this.frames[this.stacks[at][1]] ?? ["?", null, null]);
		return frames;
	}
}
