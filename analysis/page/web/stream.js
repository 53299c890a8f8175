// stream.js - reads the stream of numbers that device.c packs. A number has seven bits a byte, the
// low ones first; a signed one has its sign in the lowest bit. In order:
//   steps     count; of each: id and end minus those of the step before, id minus its pattern's ...
//   reserved  count; of each: time, reserved, in use (-1: not said), minus the one before
//   long      count; of each block that lived through a whole step: see readLong
//   shapes    count; of each step with rows of its own: its phases, blocks and curve
// Times are nanoseconds since the run began, sizes are bytes.
export const LEVELS = 9; // buckets inside allocated memory, as schema.sql numbers them

export class Stream {
	constructor(base64) {
		const text = atob(base64);
		this.bytes = new Uint8Array(text.length);
		for (let i = 0; i < text.length; i++) this.bytes[i] = text.charCodeAt(i);
		this.at = 0;
	}

	number() {
		let value = 0, scale = 1, byte;
		do {
			byte = this.bytes[this.at++];
			value += (byte & 127) * scale;
			scale *= 128;
		} while (byte > 127);
		return value;
	}

	signed() {
		const value = this.number();
		return value % 2 ? -(value + 1) / 2 : value / 2;
	}
}

export function readSteps(stream) {
	const count = stream.number();
	const steps = {};
	for (const name of ["id", "pattern", "start", "end", "flags", "events", "allocated", "peak",
		"reserved", "peakTime", "phase", "ordinal"])
		steps[name] = new Float64Array(count);
	steps.count = count;
	let id = 0, end = 0, events = 0, allocated = 0, peak = 0, reserved = 0;
	for (let i = 0; i < count; i++) {
		steps.id[i] = id += stream.signed();
		steps.pattern[i] = id - stream.signed();
		steps.start[i] = end + stream.signed();
		steps.end[i] = end = steps.start[i] + stream.signed();
		steps.flags[i] = stream.number();
		steps.events[i] = events += stream.signed();
		steps.allocated[i] = allocated += stream.signed();
		steps.peak[i] = peak += stream.signed();
		steps.reserved[i] = reserved += stream.signed();
		steps.peakTime[i] = steps.start[i] + stream.signed();
		steps.phase[i] = stream.number();
		steps.ordinal[i] = stream.signed();
	}
	return steps;
}

export function readReserved(stream) {
	const count = stream.number();
	const samples = { count, time: new Float64Array(count), reserved: new Float64Array(count),
		used: new Float64Array(count) };
	let time = 0, reserved = 0, used = 0;
	for (let i = 0; i < count; i++) {
		samples.time[i] = time += stream.signed();
		samples.reserved[i] = reserved += stream.signed();
		samples.used[i] = used += stream.signed();
	}
	return samples;
}

// Blocks of any kind; died Infinity: it outlives the step; diedStep Infinity: it is never freed.
function blocks(count) {
	return { count, bornStep: new Float64Array(count), born: new Float64Array(count),
		bornTime: new Float64Array(count), diedStep: new Float64Array(count),
		died: new Float64Array(count), diedTime: new Float64Array(count),
		bytes: new Float64Array(count), bucket: new Uint8Array(count),
		site: new Int32Array(count), owner: new Int32Array(count) };
}

export function readLong(stream) {
	const long = blocks(stream.number());
	let step = 0;
	for (let i = 0; i < long.count; i++) {
		long.bornStep[i] = step += stream.signed();
		long.born[i] = stream.signed();
		const steps = stream.number();
		long.diedStep[i] = steps ? step + steps : Infinity;
		long.died[i] = Infinity;
		long.bornTime[i] = -Infinity;
		long.diedTime[i] = Infinity;
		long.bytes[i] = stream.number();
		long.bucket[i] = stream.number();
		long.site[i] = stream.number() - 1;
		long.owner[i] = stream.number() - 1;
	}
	return long;
}

function readBlocks(stream, step, start) {
	const list = blocks(stream.number());
	let born = 0, bornTime = start;
	for (let i = 0; i < list.count; i++) {
		const before = stream.number();
		list.bornStep[i] = step - before;
		if (before) {
			list.born[i] = -1;
			list.bornTime[i] = -Infinity;
		} else {
			list.born[i] = born += stream.signed();
			list.bornTime[i] = bornTime += stream.signed();
		}
		const end = stream.number();
		list.diedStep[i] = !end ? Infinity : end % 2 ? step + (end - 1) / 2 : step;
		if (end && end % 2 === 0) {
			list.died[i] = (before ? 0 : born) + (end - 2) / 2;
			list.diedTime[i] = (before ? start : bornTime) + stream.signed();
		} else {
			list.died[i] = list.diedTime[i] = Infinity;
		}
		list.bytes[i] = stream.number();
		list.bucket[i] = stream.number();
		list.site[i] = stream.number() - 1;
		list.owner[i] = stream.number() - 1;
	}
	return list;
}

export function curve(count) {
	return { count, time: new Float64Array(count), ordinal: new Float64Array(count),
		all: new Float64Array(count),
		of: Array.from({ length: LEVELS }, () => new Float64Array(count)) };
}

// null: the curve follows from the blocks.
function readCurve(stream, start) {
	const count = stream.number();
	if (!count) return null;
	const made = curve(count);
	const level = new Float64Array(LEVELS);
	let time = start, ordinal = -1;
	for (let i = 0; i < count; i++) {
		made.time[i] = time += stream.signed();
		made.ordinal[i] = ordinal += stream.signed();
		const changed = stream.number();
		let all = 0;
		for (let b = 0; b < LEVELS; b++) {
			if (changed >> b & 1) level[b] += stream.signed();
			made.of[b][i] = level[b];
			all += level[b];
		}
		made.all[i] = all;
	}
	return made;
}

export function readShapes(stream, steps) {
	const starts = new Map();
	for (let i = 0; i < steps.count; i++) starts.set(steps.id[i], steps.start[i]);
	const shapes = new Map();
	for (let left = stream.number(); left; left--) {
		const step = stream.number();
		const start = starts.get(step) ?? 0;
		const spans = [];
		for (let spansLeft = stream.number(); spansLeft; spansLeft--)
			spans.push({ phase: stream.number(), time: start + stream.signed(),
				first: stream.signed() });
		const list = readBlocks(stream, step, start);
		shapes.set(step, { step, start, spans, blocks: list, sampled: readCurve(stream, start) });
	}
	return shapes;
}
