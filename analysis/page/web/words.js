// words.js - numbers as people say them: the same as analysis/terminal/text.c.
const UNITS = ["KiB", "MiB", "GiB", "TiB", "PiB"];

export function size(bytes) {
	let value = bytes, unit = -1;
	while (Math.abs(value) >= 1023.995 && unit < 4) {
		value /= 1024;
		unit++;
	}
	return unit < 0 ? `${value} B` : `${value.toFixed(2)} ${UNITS[unit]}`;
}

export const count = (number) => number.toLocaleString("en-US");
export const bytes = (number) => `${count(number)} B`;
export const plural = (number, noun) => `${count(number)} ${noun}${number === 1 ? "" : "s"}`;
export const percent = (part, whole) => whole > 0 ? `${(100 * part / whole).toFixed(1)} %` : "";

export function duration(ns) {
	if (Math.abs(ns) < 1e6) return `${+(ns / 1e3).toPrecision(3)} µs`;
	if (Math.abs(ns) < 999.5e6) return `${+(ns / 1e6).toPrecision(3)} ms`;
	const s = Math.trunc(ns / 1e9);
	if (s < 60) return `${(ns / 1e9).toFixed(1)} s`;
	if (s < 3600) return `${Math.trunc(s / 60)} min ${s % 60} s`;
	return `${Math.trunc(s / 3600)} h ${Math.trunc(s % 3600 / 60)} min`;
}

// "model.py:16 < train.py:10": file names without their folders.
export const fileName = (path) => (path ?? "?").split("/").pop();

const PLUMBING = new Set(["Module._call_impl", "Module._wrapped_call_impl"]);

// Frames are [function, file, line], innermost first; those that every call passes tell nothing.
export const telling = (frames) => frames.filter((frame) =>
	!PLUMBING.has(frame[0]) && !(frame[1] ?? "").includes("/tidemark_known/"));

export function place(frame) {
	if (!frame) return null;
	return frame[2] === null ? frame[0] ?? "?" : `${fileName(frame[1])}:${frame[2]}`;
}
