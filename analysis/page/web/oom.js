// oom.js - what `tidemark oom` answers: why an allocation was refused, and what would make it fit.
// The marks are the command's own: nothing here judges.
import { swatch } from "./colors.js";
import { bar, element, section, table } from "./dom.js";
import * as words from "./words.js";

const SIGNS = { fits: "✓", short: "✗", unknown: "?" };
const MEANINGS = { fits: "seen to fit", short: "seen not to fit", unknown: "not known" };

const markOf = (lever) => lever.verified ? lever.verified.fits ? "fits" : "short" : lever.mark;

function seen(lever) {
	const { verified } = lever;
	if (!verified) return lever.not_verified ? `run: ${lever.not_verified}` : null;
	if (!verified.fits) return `run and still out of memory in step ${verified.step}, ${verified.phase ?? "other"}`;
	return `run and fits, peak ${words.size(verified.peak_allocated_bytes)}`;
}

function leverRow(lever, saidAbove) {
	const mark = markOf(lever), why = !lever.verified && lever.why && !saidAbove.includes(lever.why) ? lever.why : null;
	const where = lever.file ? `${words.fileName(lever.file)}:${lever.line}` : null;
	return element("li", { class: `lever ${mark}`, "data-lever": lever.id, "data-mark": mark },
		element("span", { class: "mark", title: MEANINGS[mark], "aria-label": MEANINGS[mark], role: "img" }, SIGNS[mark]),
		element("div", {}, element("b", {}, lever.change), where ? element("span", { class: "soft" }, `  ${where}`) : null,
			[seen(lever), lever.basis, why].filter(Boolean).map((text) => element("div", { class: "soft" }, text))),
		element("span", { class: "number" }, words.size(lever.saves_bytes)));
}

function levers(event) {
	const { doubt, unknown } = event.replay, said = [doubt, unknown].filter(Boolean);
	return [element("h3", {}, "What would make it fit"),
		element("p", { class: "says" }, "Each change was replayed to the end of the next step. ✓ was seen to fit, ✗ was seen not to fit, ? is not known. On the right: what it saves."),
		doubt || unknown ? element("p", { class: "note" }, doubt ?? `not known: ${unknown}`) : null,
		event.levers.length ? element("ol", { class: "levers" }, event.levers.map((lever) => leverRow(lever, said)))
			: element("p", {}, "nothing in this trace says")];
}

function held(event) {
	const rows = [...event.by_bucket.map((row) => [row.bucket, row.bytes])];
	if (event.cached_bytes > 0) rows.push(["cache", event.cached_bytes]);
	if (event.outside_bytes > 0) rows.push(["outside PyTorch", event.outside_bytes]);
	const whole = event.device_total_bytes ?? rows.reduce((sum, [, bytes]) => sum + bytes, 0);
	return table(["who held it", ">size", ">of the device", ""], rows.map(([name, bytes]) =>
		[name, words.size(bytes), words.percent(bytes, whole), bar(bytes, whole, swatch(name), `${words.percent(bytes, whole)} of the device`)]),
	{ label: "who held the memory when it ran out" });
}

function figures(event) {
	const known = (bytes) => bytes === null || bytes === undefined ? "not known" : words.size(bytes);
	const what = [event.op, event.module ? `in ${event.module}` : null, event.shape, event.dtype].filter(Boolean).join(" ");
	const line = event.line?.file ? `${words.fileName(event.line.file)}:${event.line.line ?? event.line.number}` : null;
	const pairs = [["asked for", `${words.size(event.requested_bytes)}${what ? `, ${what}` : ""}`],
		["by", line ? `${line}${event.line_is_caller ? " (it began the backward)" : ""}` : "not known"],
		["free on the device", `${known(event.device_free_bytes)} of ${known(event.device_total_bytes)}`],
		["PyTorch", `${known(event.reserved_bytes)} reserved, ${known(event.allocated_bytes)} of it allocated`],
		["outside PyTorch", known(event.outside_bytes)]];
	return element("dl", {}, pairs.flatMap(([name, text]) => [element("dt", {}, name), element("dd", {}, text)]));
}

function refusal(event, number) {
	const when = `${event.device}, step ${event.step}, ${event.phase}, after ${words.duration(event.time_ns)}; ${event.fatal ? "the run ended there" : "the run went on"}`;
	return section(`oom-${number}`, "Out of memory", when,
		element("p", { class: "verdict" }, element("b", {}, event.verdict), `: ${event.why}`),
		figures(event), held(event), ...levers(event));
}

// The last refusal of each device is the story, as on the command's screen.
export function oomPanels(answer, number) {
	const events = answer.events ?? [], last = new Map();
	for (const event of events) last.set(event.device, event);
	const made = [...last.values()].map((event, i) => refusal(event, `${number}-${i}`));
	const others = events.length - last.size;
	if (others > 0)
		made[0].append(element("p", { class: "hint" }, `${words.plural(others, "refusal")} before that; 'tidemark oom --json' tells of each`));
	return made;
}
