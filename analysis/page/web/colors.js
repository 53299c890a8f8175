// colors.js - the colours of buckets and phases. Okabe and Ito's palette (Color Universal Design,
// 2008) and three more, which colour-blind people tell apart by colour or hatching
// (tests/page/test_pictures.py); each has its name beside it.
export const BUCKETS = {
	parameter: { color: "#0072b2", hatch: null },
	buffer: { color: "#6b7780", hatch: "dots" },
	optimizer: { color: "#009e73", hatch: "up" },
	gradient: { color: "#e69f00", hatch: "down" },
	activation: { color: "#56b4e9", hatch: null },
	input: { color: "#f0e442", hatch: "cross" },
	temporary: { color: "#cc79a7", hatch: "flat" },
	workspace: { color: "#d55e00", hatch: "dots" },
	communication: { color: "#6b2f5e", hatch: "up" },
	"not known": { color: "#b8bec4", hatch: "cross" },
};
// From below: what stays first, so that it is a calm floor under what comes and goes.
export const ORDER = Object.keys(BUCKETS);

export const PHASES = {
	setup: "#8d99a6", data: "#c9b400", forward: "#3b8fc4", backward: "#c96a1b",
	recompute: "#a35a8c", clip: "#6f7d52", optimizer: "#168a68", zero_grad: "#7a6bb0",
	eval: "#4f7f8c", other: "#8d99a6",
};

export const bucketColor = (name) => (BUCKETS[name] ?? BUCKETS["not known"]).color;
export const phaseColor = (name) => PHASES[name] ?? PHASES.other;

const made = new Map();

// A hatching for a canvas, in dark or light lines over the colour; null: the bucket has none.
export function hatching(context, name, ratio) {
	const kind = (BUCKETS[name] ?? BUCKETS["not known"]).hatch;
	if (!kind) return null;
	const key = `${kind} ${ratio}`;
	if (!made.has(key)) {
		const tile = document.createElement("canvas");
		const side = tile.width = tile.height = Math.round(8 * ratio);
		const pen = tile.getContext("2d");
		pen.strokeStyle = pen.fillStyle = "rgba(0, 0, 0, .22)";
		pen.lineWidth = ratio;
		pen.beginPath();
		if (kind === "dots") pen.arc(side / 2, side / 2, 1.2 * ratio, 0, 7);
		if (kind === "flat") { pen.moveTo(0, side / 2); pen.lineTo(side, side / 2); }
		for (const shift of [-side, 0, side]) {
			if (kind === "up" || kind === "cross") {
				pen.moveTo(shift, side);
				pen.lineTo(shift + side, 0);
			}
			if (kind === "down" || kind === "cross") {
				pen.moveTo(shift, 0);
				pen.lineTo(shift + side, side);
			}
		}
		if (kind === "dots") pen.fill();
		else pen.stroke();
		made.set(key, context.createPattern(tile, "repeat"));
	}
	return made.get(key);
}

// The same as a background of an element, for legends.
export function swatch(name) {
	const { color, hatch } = BUCKETS[name] ?? BUCKETS["not known"];
	const lines = "rgba(0,0,0,.25)", gap = "transparent 1px 4px";
	const angles = { up: [135], down: [45], cross: [45, 135], flat: [0] }[hatch] ?? [];
	const layers = angles.map((angle) => `repeating-linear-gradient(${angle}deg, ${lines} 0 1px, ${gap})`);
	if (hatch === "dots") layers.push(`radial-gradient(${lines} 1px, transparent 1.5px) 0 0 / 5px 5px`);
	return `background: ${[...layers, color].join(", ")}`;
}
