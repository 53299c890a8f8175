// segments.js - what `tidemark fragmentation` answers: PyTorch's segments with their holes.
import { bucketColor, hatching } from "./colors.js";
import { element, refused, section } from "./dom.js";
import * as words from "./words.js";

const SHOWN = 24;

function strip(segment) {
	const canvas = element("canvas", { class: "strip", role: "img",
		"aria-label": `${words.size(segment.bytes)}, of which ${words.size(segment.bytes - segment.used_bytes)} free` });
	const draw = () => {
		const width = canvas.clientWidth, height = 16, ratio = window.devicePixelRatio || 1;
		if (!width) return;
		canvas.width = width * ratio;
		canvas.height = height * ratio;
		const pen = canvas.getContext("2d");
		pen.scale(ratio, ratio);
		for (const block of segment.blocks) {
			const from = (block.address - segment.address) / segment.bytes * width;
			const size = Math.max(.5, block.bytes / segment.bytes * width - (block.bytes / segment.bytes * width > 3 ? .7 : 0));
			pen.fillStyle = bucketColor(block.bucket);
			pen.fillRect(from, 0, size, height);
			const lines = hatching(pen, block.bucket, 1);
			if (lines) {
				pen.fillStyle = lines;
				pen.fillRect(from, 0, size, height);
			}
		}
	};
	new ResizeObserver(draw).observe(canvas);
	return canvas;
}

function keeps(segment) {
	const largest = segment.blocks.reduce((a, b) => !a || b.bytes > a.bytes ? b : a, null);
	if (!largest) return "empty: PyTorch gives it back when it must";
	return `${words.size(largest.bytes)} ${largest.bucket} ${largest.owner ?? largest.module ?? largest.op ?? ""}`;
}

function one(device, number) {
	const says = "The pieces of memory that PyTorch took from the driver, with the blocks in them. Between the blocks are holes: a request that is larger than a hole does not fit into it.";
	const title = `Segments and holes, ${device.device}`, id = `segments-${number}`;
	if (!device.segments.length)
		return section(id, title, says, refused(device.state === "none" || !device.reserved_bytes || device.reserved_bytes < 0
			? "No segment was recorded: where the blocks lay is not known." : `Holes are not drawn: the segments are ${device.state}.`));
	const order = device.segments.slice().sort((a, b) => (b.bytes - b.used_bytes) - (a.bytes - a.used_bytes));
	const rows = order.slice(0, SHOWN).map((segment) => element("li", {},
		element("span", { class: "number" }, words.size(segment.bytes)),
		element("span", { class: "number soft" }, words.size(segment.bytes - segment.used_bytes)),
		strip(segment), element("span", { class: "keeps", title: keeps(segment) }, keeps(segment))));
	const largest = device.largest_hole_bytes;
	return section(id, title, says,
		element("p", {}, `At the peak ${words.size(device.reserved_bytes)} were reserved, ${words.size(device.allocated_bytes)} of it allocated. Holes between blocks: ${words.size(device.hole_bytes)}${largest === null ? "" : `, the largest ${words.size(largest)}`}; in empty segments: ${words.size(device.free_segment_bytes)}.`,
			device.state === "exact" ? "" : ` The segments that were recorded do not add up to that (${device.state}): not all of it is drawn truly.`),
		element("ol", { class: "segments" }, element("li", { class: "head soft" }, element("span", { class: "number" }, "segment"),
			element("span", { class: "number" }, "free"), element("span", {}, "its addresses, from the lowest"), element("span", {}, "what keeps it")), rows),
		order.length > SHOWN ? element("p", { class: "hint" }, `and ${words.plural(order.length - SHOWN, "fuller segment")}`) : null);
}

export function segmentPanels(answer, number) {
	if (answer.error) return [section(`segments-${number}`, "Segments and holes", "Memory that PyTorch took from the driver.", refused(answer.error))];
	return answer.devices.map((device, i) => one(device, `${number}-${i}`));
}
