// columns.js - what the chart draws for a stretch of time: for each column of pixels the highest
// instant in it, and the outlines of the blocks that are tall enough to be seen.
import { LEVELS } from "./stream.js";
import { ORDER } from "./colors.js";

// The bands from below, as places in an instant's levels.
export function bandsOf(device) {
	return ORDER.map((name) => name === "not known" ? LEVELS : device.buckets.indexOf(name))
		.filter((level) => level >= 0);
}

// An instant for each column; null where the run had not begun or was over.
export function columnsOf(device, from, to, width) {
	const columns = new Array(width).fill(null);
	if (!device.steps.count) return columns;
	const each = (to - from) / width;
	for (let x = 0; x < width; x++) {
		const begin = from + x * each, end = begin + each;
		if (end < device.begin || begin > device.end) continue;
		columns[x] = device.highestBetween(Math.max(begin, device.begin), Math.min(end, device.end));
	}
	return columns;
}

// The blocks of a step that hold at least so many bytes: those that live through it first, then
// by birth. A block is [kind, number]; kind "long" or "shape".
function tallOf(device, index, least) {
	const tall = [], { long } = device, blocks = device.shapeOf(index)?.blocks;
	for (const i of device.longAlive(index))
		if (long.bytes[i] >= least)
			tall.push({ list: long, i, bytes: long.bytes[i], bucket: long.bucket[i], born: -2, died: Infinity });
	for (let i = 0; blocks && i < blocks.count; i++)
		if (blocks.bytes[i] >= least)
			tall.push({ list: blocks, i, bytes: blocks.bytes[i], bucket: blocks.bucket[i],
				born: blocks.born[i], died: blocks.died[i] });
	return tall;
}

// Who lies where at an instant, from below: bands of buckets, in each what is too small to be
// drawn, and on it the tall blocks by age. visit(block, low, high) for each of them.
function pileUp(instant, alive, bands, visit) {
	let floor = 0;
	for (const band of bands) {
		const top = floor + instant.levels[band];
		let tall = 0;
		for (const block of alive) if (block.bucket === band) tall += block.bytes;
		let low = top - tall;
		for (const block of alive) {
			if (block.bucket !== band) continue;
			visit(block, low, low + block.bytes);
			low += block.bytes;
		}
		floor = top;
	}
}

const lives = (block, ordinal) => block.born <= ordinal && block.died > ordinal;

// The outlines of the blocks of one step over its columns first..last: for each block its runs
// of [x, low, high].
export function outlines(device, index, columns, first, last, least, bands) {
	const tall = tallOf(device, index, least);
	const runs = new Map();
	if (tall.length > 20000) return [];
	const byBirth = tall.slice().sort((a, b) => a.born - b.born);
	let next = 0, alive = [];
	for (let x = first; x <= last; x++) {
		const instant = columns[x];
		if (!instant || instant.index !== index || !instant.held) continue;
		const before = alive.length;
		while (next < byBirth.length && byBirth[next].born <= instant.ordinal) alive.push(byBirth[next++]);
		if (before || alive.length) alive = alive.filter((block) => block.died > instant.ordinal);
		pileUp(instant, alive, bands, (block, low, high) => {
			if (!runs.has(block)) runs.set(block, []);
			runs.get(block).push([x, low, high]);
		});
	}
	return [...runs];
}

// The block at a height of an instant, or null where it is too small to be told.
export function blockAt(device, instant, height, least, bands) {
	if (!instant?.held) return null;
	const alive = tallOf(device, instant.index, least).filter((block) => lives(block, instant.ordinal))
		.sort((a, b) => a.born - b.born);
	let found = null;
	pileUp(instant, alive, bands, (block, low, high) => {
		if (height >= low && height < high) found = block;
	});
	return found;
}
