// alive.js - what was alive at an instant, as a tree by module, stack, operator or parameter: a
// treemap, an icicle and a table of the same bytes.
import { hierarchy, partition, treemap, treemapSquarify } from "d3-hierarchy";
import { swatch } from "./colors.js";
import { choice, element, table } from "./dom.js";
import { LEVELS } from "./stream.js";
import * as words from "./words.js";

const SMALL = "smaller blocks, not in this page one by one";

// Every block of an instant: { bytes, bucket, site, owner, born }, and what is not known as blocks.
export function blocksAt(device, instant) {
	const found = [], seen = new Float64Array(LEVELS);
	const take = (list, i) => {
		const bucket = list.bucket[i];
		seen[bucket] += list.bytes[i];
		found.push({ bytes: list.bytes[i], bucket: device.buckets[bucket], site: list.site[i],
			owner: list.owner[i], born: list.bornStep[i], list, i });
	};
	for (const i of device.longAlive(instant.index)) take(device.long, i);
	const blocks = device.shapeOf(instant.index)?.blocks;
	for (let i = 0; blocks && i < blocks.count; i++)
		if (blocks.born[i] <= instant.ordinal && blocks.died[i] > instant.ordinal) take(blocks, i);
	for (let b = 0; b < LEVELS; b++) {
		const rest = instant.levels[b] - seen[b];
		if (rest > 0) found.push({ bytes: rest, bucket: device.buckets[b], small: true });
	}
	if (instant.levels[LEVELS] > 0)
		found.push({ bytes: instant.levels[LEVELS], bucket: "not known", unseen: true });
	return found;
}

// What is known of a block, however it came here.
function detail(device, block) {
	if (block.row) return block.row;
	const site = device.sites[block.site] ?? [];
	return { module: site[1], op: site[2], shape: site[3], dtype: site[4], line: site[7],
		owner: device.owners[block.owner], frames: () => device.stackOf(block.site) };
}

// The rows of `tidemark peak`, which has every block of the peak where the page has not.
export function rowsOfPeak(answer, peak) {
	const frames = (numbers) => (numbers ?? []).map((number) => answer.frames[number])
		.filter(Boolean).map((frame) => [frame.function, frame.file, frame.line]);
	const rows = peak.live.map((row) => ({ bytes: row.bytes, blocks: row.blocks, bucket: row.bucket,
		unseen: row.bucket === "before tracing" || row.bucket === "thinned away" || row.bucket === "freed unseen",
		row: { ...row, line: null, frames: () => frames(row.stack) } }));
	if (peak.not_listed.bytes) rows.push({ bytes: peak.not_listed.bytes, blocks: peak.not_listed.blocks, bucket: "not known", small: true });
	return rows;
}

// A parameter is made outside of any module; it belongs to the one that its name begins with.
const moduleOf = ({ module, owner }) =>
	(module ?? owner?.split(" ")[0].split(".").slice(0, -1).join(".") ?? "").split(".").filter(Boolean);

const WAYS = {
	module: moduleOf,
	stack: ({ frames }) => words.telling(frames()).reverse().map((frame) => `${words.place(frame)}  ${frame[0] ?? ""}`),
	operator: ({ op, shape }) => [op, shape].filter(Boolean),
	parameter: ({ owner }) => (owner ?? "").split(".").filter(Boolean),
};
const NONE = { module: "outside of any module", stack: "no stack was recorded", operator: "no operator",
	parameter: "no name: not a parameter, buffer or state" };

function pathOf(device, block, way) {
	if (block.small) return [SMALL];
	if (block.unseen) return ["from before tracing began, or not explained by any event"];
	const path = WAYS[way](detail(device, block));
	return path.length ? path : [NONE[way]];
}

// { name, children: Map, leaves: Map of buckets }: a leaf is one bucket at the end of a path.
export function treeOf(device, blocks, way) {
	const root = { name: "all", children: new Map(), bytes: 0, blocks: 0 };
	for (const block of blocks) {
		let at = root;
		at.bytes += block.bytes;
		at.blocks += block.blocks ?? 1;
		for (const name of pathOf(device, block, way)) {
			if (!at.children.has(name)) at.children.set(name, { name, children: new Map(), bytes: 0, blocks: 0 });
			at = at.children.get(name);
			at.bytes += block.bytes;
			at.blocks += block.blocks ?? 1;
		}
		const key = `\0${block.bucket}`;
		if (!at.children.has(key))
			at.children.set(key, { name: at.name, bucket: block.bucket, children: new Map(), bytes: 0, blocks: 0, largest: block });
		const leaf = at.children.get(key);
		leaf.bytes += block.bytes;
		leaf.blocks += block.blocks ?? 1;
		if (block.bytes > leaf.largest.bytes) leaf.largest = block;
	}
	return root;
}

// The tree for d3: nodes below a share of all are put together.
function laidOut(tree, least) {
	const copy = (node) => {
		const kept = [], small = { name: "", bytes: 0, blocks: 0, bucket: null, few: 0 };
		for (const child of node.children.values()) {
			if (child.bytes >= least) kept.push(copy(child));
			else {
				small.bytes += child.bytes;
				small.blocks += child.blocks;
				small.few++;
			}
		}
		if (small.bytes > 0) kept.push({ ...small, name: `${words.count(small.few)} smaller` });
		return { ...node, children: kept.length ? kept : undefined };
	};
	return hierarchy(copy(tree)).sum((node) => node.children ? 0 : node.bytes).sort((a, b) => b.value - a.value);
}

// The way from the top down to the first node with several children tells nothing.
function skipTrunk(node) {
	let at = node;
	while (at.children.size === 1) {
		const only = [...at.children.values()][0];
		if (only.bucket) break;
		at = only;
	}
	return at;
}

const pathText = (node) => node.ancestors().reverse().slice(1).filter((part) => !part.data.bucket)
	.map((part) => part.data.name).join(" › ");

// A number alone tells nothing: "h.11" of the module h.11.
function numbered(node) {
	const names = node.ancestors().filter((part) => !part.data.bucket).map((part) => part.data.name);
	return names.length > 1 && names[1] !== "all" ? `${names[1]}.${names[0]}` : names[0] ?? node.data.name;
}

// Widths are shares of the whole, so that paper may be narrower than the screen.
function cell(node, box, width, press) {
	const { bucket, name, blocks } = node.data, { x0, y0, x1, y1 } = box;
	const text = `${pathText(node) || name}: ${words.size(node.value)}, ${words.plural(blocks, "block")}${bucket ? `, ${bucket}` : ""}`;
	const above = node.parent?.data.name, short = name.includes(" ") || !above || above === "all" || /^\d+$/.test(above);
	const label = /^\d+$/.test(name) ? numbered(node) : bucket && !short && above !== name && x1 - x0 > 120 ? `${above}.${name}` : name;
	const room = x1 - x0 > 34 && y1 - y0 > 15;
	return element(press ? "button" : "div", { class: `cell ${bucket ? "leaf" : "branch"}`, title: text, "aria-label": text,
		onclick: press, type: press ? "button" : null,
		style: `left:${(100 * x0 / width).toFixed(3)}%;top:${y0}px;width:${(100 * Math.max(0, x1 - x0) / width).toFixed(3)}%;height:${Math.max(0, y1 - y0)}px;${bucket ? swatch(bucket) : ""}` },
	room ? element("span", {}, element("b", {}, label), ` ${words.size(node.value)}`) : null);
}

export class Alive {
	constructor(device, number) {
		Object.assign(this, { device, way: "module", form: "treemap", top: [] });
		this.title = element("h2", { id: `alive-${number}-title`, tabindex: "-1" });
		this.boxes = element("div", { class: "boxes", role: "group", "aria-label": "what was alive, by size" });
		this.crumbs = element("nav", { class: "crumbs", "aria-label": "where in the tree" });
		this.list = element("div", {});
		this.ways = choice("by", Object.keys(WAYS), this.way, (way) => { this.way = way; this.top = []; this.draw(); });
		this.forms = choice("as", ["treemap", "icicle"], this.form, (form) => { this.form = form; this.draw(); });
		this.node = element("section", { id: `alive-${number}`, "aria-labelledby": `alive-${number}-title` }, this.title,
			element("p", { class: "says" }, "What memory held at the instant that you clicked in the chart; at first, that is the peak. The larger an area, the more bytes; press one to look inside."),
			element("div", { class: "over" }, this.ways, this.forms), this.crumbs, this.boxes, this.list);
		new ResizeObserver(() => this.draw()).observe(this.boxes);
	}

	// rows: those of the peak's answer, where the page has not every block of it.
	show(instant, name, rows) {
		const { device } = this, phase = device.phaseAt(instant.index, instant.ordinal);
		this.instant = instant;
		this.blocks = blocksAt(device, instant);
		if (rows && this.blocks.some((block) => block.small)) this.blocks = rows;
		this.top = [];
		this.title.textContent = `What was alive ${name ?? "at this instant"}: ${words.size(instant.all)} in step ${device.steps.id[instant.index]}${phase ? `, ${phase}` : ""}`;
		this.draw();
	}

	draw() {
		const width = this.boxes.clientWidth;
		if (!this.instant || !width || (this.drawn === this.key(width))) return;
		this.drawn = this.key(width);
		let tree = treeOf(this.device, this.blocks, this.way);
		for (const name of this.top) tree = tree.children.get(name) ?? tree;
		this.tree = this.top.length ? tree : skipTrunk(tree);
		this.drawCrumbs();
		this.boxes.replaceChildren(...(this.form === "treemap" ? this.treemap(width) : this.icicle(width)));
		this.drawList();
	}

	key(width) {
		return [this.instant.index, this.instant.ordinal, this.way, this.form, this.top.join("\0"), width].join("|");
	}

	drawCrumbs() {
		const up = (length) => () => { this.top = this.top.slice(0, length); this.draw(); };
		this.crumbs.replaceChildren(...(this.top.length ? ["all", ...this.top].map((name, i) =>
			element("button", { type: "button", onclick: up(i) }, name)) : []));
	}

	into(node) {
		const names = node.ancestors().reverse().slice(1).filter((part) => part.data.children && !part.data.bucket)
			.map((part) => part.data.name);
		if (!names.length) return null;
		return () => {
			let whole = treeOf(this.device, this.blocks, this.way), path = [];
			if (!this.top.length)
				for (let at = whole; at.children.size === 1; ) {
					const only = [...at.children.values()][0];
					if (only.bucket) break;
					path.push(only.name);
					at = only;
				}
			this.top = [...this.top, ...path, ...names];
			this.draw();
		};
	}

	treemap(width) {
		const height = width < 600 ? 360 : 320;
		this.boxes.style.height = `${height}px`;
		const root = laidOut(this.tree, this.tree.bytes / 2500);
		treemap().tile(treemapSquarify).size([width, height]).paddingInner(1).round(true)(root);
		return root.leaves().filter((node) => node.value > 0 && (node.x1 - node.x0) * (node.y1 - node.y0) > 3).map((node) => {
			const branch = node.ancestors().reverse()[1];
			return cell(node, node, width, branch && branch !== node && branch.data.children ? this.into(branch) : null);
		});
	}

	icicle(width) {
		const root = laidOut(this.tree, this.tree.bytes / Math.max(300, width / 2));
		const rows = Math.min(root.height + 1, 40), row = 22;
		this.boxes.style.height = `${rows * row}px`;
		partition().size([width, (root.height + 1) * row]).padding(0)(root);
		return root.descendants().filter((node) => node.depth < rows && node.x1 - node.x0 >= 1).map((node) =>
			cell(node, { x0: node.x0, x1: node.x1 - 1, y0: node.y0, y1: node.y1 - 1 }, width,
				node.depth && node.data.children ? this.into(node) : null));
	}

	drawList() {
		const rows = [], walk = (node, path) => {
			for (const child of node.children.values()) {
				if (child.bucket) rows.push([child, path]);
				else walk(child, [...path, child.name]);
			}
		};
		walk(this.tree, []);
		rows.sort((a, b) => b[0].bytes - a[0].bytes);
		const shown = rows.slice(0, 12), known = (leaf) => detail(this.device, leaf.largest);
		const separator = this.way === "module" || this.way === "parameter" ? "." : " › ";
		const { all } = this.instant;
		this.list.replaceChildren(table([">size", ">of all", ">blocks", "what", "bucket", "operator and shape of the largest", "made at"],
			shown.map(([leaf, path]) => [words.size(leaf.bytes), words.percent(leaf.bytes, all), words.count(leaf.blocks),
				(this.way === "stack" ? path.slice(-1) : path).join(separator) || this.tree.name, leaf.bucket,
				[known(leaf).op, known(leaf).shape, known(leaf).dtype].filter(Boolean).join(" ") || null, known(leaf).line]),
			{ label: "what was alive, the largest first" }),
		rows.length > shown.length ? element("p", { class: "hint" }, `and ${words.count(rows.length - shown.length)} smaller rows of ${words.size(rows.slice(12).reduce((sum, [leaf]) => sum + leaf.bytes, 0))}`) : "");
	}
}
