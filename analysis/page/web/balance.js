// balance.js - what `tidemark reconcile` answers, as a waterfall: from what the formula says, over
// each cause, to what was measured.
import { swatch } from "./colors.js";
import { element, refused, section } from "./dom.js";
import * as words from "./words.js";

const AROUND = new Set(["cache", "context"]); // beside allocated memory

function waterfall(device) {
	const rows = device.rows.filter((row) => !AROUND.has(row.bucket));
	const formula = rows.reduce((sum, row) => sum + row.predicted_bytes, 0);
	const steps = [{ text: "the formula", total: formula, whole: true }];
	let level = formula;
	const causes = rows.flatMap((row) => row.causes.map((cause) => ({ ...cause, bucket: row.bucket })))
		.sort((a, b) => Math.abs(b.bytes) - Math.abs(a.bytes));
	const shown = causes.slice(0, 14);
	for (const cause of shown) {
		steps.push({ text: cause.cause, bucket: cause.bucket, bytes: cause.bytes, from: level, bare: !cause.explained });
		level += cause.bytes;
	}
	const rest = causes.slice(14).reduce((sum, cause) => sum + cause.bytes, 0);
	if (causes.length > shown.length) {
		steps.push({ text: words.plural(causes.length - shown.length, "smaller cause"), bytes: rest, from: level });
		level += rest;
	}
	const measured = rows.reduce((sum, row) => sum + row.measured_bytes, 0);
	steps.push({ text: "measured", total: measured, whole: true });
	return { steps, measured, formula, level };
}

function line(step, most) {
	const low = step.whole ? 0 : Math.min(step.from, step.from + step.bytes);
	const size = step.whole ? step.total : Math.abs(step.bytes);
	const share = (bytes) => `${(100 * Math.max(0, bytes) / most).toFixed(3)}%`;
	const text = step.whole ? words.size(step.total) : `${step.bytes < 0 ? "−" : "+"}${words.size(Math.abs(step.bytes))}`;
	const look = step.bucket ? swatch(step.bucket) : "";
	return element("li", { class: step.whole ? "whole" : step.bytes < 0 ? "less" : "more" },
		element("span", { class: "cause", title: step.text }, step.text,
			step.bucket ? element("span", { class: "soft" }, ` · ${step.bucket}${step.bare ? " · not explained" : ""}`) : null),
		element("span", { class: "track", role: "img", "aria-label": text },
			element("i", { style: `left:${share(low)};width:max(1px, ${share(size)});${look}` })),
		element("span", { class: "number" }, text));
}

function verdictText(device) {
	if (!device.verdict) return "There is nothing to judge the formula by: batch or sequence is not known.";
	const off = 100 * Math.abs(device.formula_peak_bytes - device.allocated_bytes) / device.allocated_bytes;
	return `The formula's peak is ${words.size(device.formula_peak_bytes)}, ${off.toFixed(1)} % from the measured ${words.size(device.allocated_bytes)}: it ${device.verdict}.`;
}

export function reconcilePanels(answer, number) {
	const says = "What the formula for this model expects at the peak, what differs, and what was measured. Each bar begins where the one above ends.";
	if (answer.error) return [section(`reconcile-${number}`, "Against the formula", says, refused(answer.error))];
	return answer.devices.map((device, i) => {
		const { steps } = waterfall(device);
		let most = 1;
		for (const step of steps) most = Math.max(most, step.whole ? step.total : Math.max(step.from, step.from + step.bytes));
		return section(`reconcile-${number}-${i}`, `Against the formula, ${device.device}`, says,
			element("p", {}, verdictText(device),
				answer.recognised?.no_shape ? ` Activations are not in the formula: ${answer.recognised.no_shape}.` : ""),
			element("ol", { class: "waterfall" }, steps.map((step) => line(step, most))),
			element("p", { class: "hint" }, `0 to ${words.size(most)}; not explained: ${words.size(device.unexplained_bytes)}`));
	});
}
