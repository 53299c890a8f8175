// ranks.js - several traces side by side: each file's own facts, nothing computed between them.
import { bar, element, section, table } from "./dom.js";
import * as words from "./words.js";

function rowsOf(trace, number, show) {
	const run = trace.answers.report.run ?? {};
	const rank = run.rank === null || run.rank === undefined ? "–" : `${run.rank} of ${run.world_size ?? "?"}`;
	const name = element("button", { type: "button", class: "link", "data-file": number, onclick: () => show(number) }, words.fileName(trace.drawn.name));
	const peaks = trace.answers.peak.devices ?? [];
	if (!peaks.length) return [{ name, rank, peak: null }];
	return peaks.map((peak) => ({ name: name.cloneNode(true), show: () => show(number), rank, peak, host: run.host,
		ran: (trace.answers.oom.events ?? []).some((event) => event.device === peak.device) }));
}

export function ranksPanel(traces, show) {
	const rows = traces.flatMap((trace, number) => rowsOf(trace, number, show));
	const most = Math.max(1, ...rows.map((row) => row.peak?.allocated_bytes ?? 0));
	for (const row of rows) if (row.show) row.name.addEventListener("click", row.show);
	return section("ranks", "Side by side", "Each file is one process. Ranks that share a model should need about the same; press a file to see it below.",
		table(["file", "rank", "host", "device", ">peak", "", "in", ">step", ">reserved", "ran out"], rows.map(({ name, rank, host, peak, ran }) => peak
			? [name, rank, host ?? null, peak.device, words.size(peak.allocated_bytes),
				bar(peak.allocated_bytes, most, "background:var(--accent)", words.size(peak.allocated_bytes)),
				peak.phase, words.count(peak.step), words.size(peak.reserved_bytes), ran ? "yes" : "no"]
			: [name, rank, null, "no device memory", null, null, null, null, null, null]), { label: "the files side by side" }));
}
