// dom.js - elements. Text from a trace goes in as text alone, never as HTML.
export function element(name, attributes = {}, ...children) {
	const made = document.createElement(name);
	for (const [key, value] of Object.entries(attributes)) {
		if (value === null || value === undefined || value === false) continue;
		if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
		else made.setAttribute(key, value === true ? "" : value);
	}
	made.append(...children.flat().filter((child) => child !== null && child !== undefined));
	return made;
}

// A part of the page: a heading, one sentence for those who train models, and what it shows.
export function section(id, title, sentence, ...children) {
	return element("section", { id, "aria-labelledby": `${id}-title` },
		element("h2", { id: `${id}-title` }, title),
		element("p", { class: "says" }, sentence), ...children);
}

export function table(heads, rows, attributes = {}) {
	const numeric = heads.map((head) => head.startsWith(">"));
	const cells = (row, kind) => row.map((cell, i) =>
		element(kind, { class: numeric[i] ? "number" : /^\[/.test(cell) ? "shape" : null,
			scope: kind === "th" ? "col" : null, "data-head": kind === "td" ? heads[i].replace(/^>/, "") : null },
			cell ?? "–"));
	return element("div", { class: "scroll", tabindex: "0", role: "region",
		"aria-label": attributes.label ?? "table" },
		element("table", {},
			element("thead", {}, element("tr", {}, cells(heads.map((head) =>
				head.replace(/^>/, "")), "th"))),
			element("tbody", {}, rows.map((row) => element("tr", {}, cells(row, "td"))))));
}

// One of a few words, as buttons side by side.
export function choice(label, names, chosen, choose) {
	const buttons = names.map((name) => element("button", { type: "button", "aria-pressed": String(name === chosen),
		onclick: () => {
			for (const other of buttons) other.setAttribute("aria-pressed", String(other === buttons[names.indexOf(name)]));
			choose(name);
		} }, name));
	return element("div", { class: "choice", role: "group", "aria-label": label }, element("span", { class: "soft" }, label), buttons);
}

// A bar of so much of a whole, with its colour and hatching.
export function bar(part, whole, look, label) {
	const share = whole > 0 ? Math.max(0, Math.min(1, part / whole)) : 0;
	return element("div", { class: "bar", role: "img", "aria-label": label },
		element("i", { style: `width:${(100 * share).toFixed(2)}%;${look}` }));
}

// Why a part has nothing to show: the sentence that the command gave.
export const refused = (why) => element("p", { class: "note" }, why);
