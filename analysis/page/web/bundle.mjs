// bundle.mjs - makes the page of one file: page.html with style.css and main.js in it, and the
// licences of what was bundled. usage: node bundle.mjs FOLDER_WITH_NODE_MODULES OUT
import { createRequire } from "node:module";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const web = dirname(fileURLToPath(import.meta.url));
const [folder, out] = process.argv.slice(2).map((path) => resolve(path));
const esbuild = createRequire(join(folder, "package.json"))("esbuild");

const built = await esbuild.build({
	entryPoints: [join(web, "main.js"), join(web, "style.css")],
	outdir: folder,
	bundle: true,
	write: false,
	minify: true,
	metafile: true,
	charset: "utf8",
	legalComments: "none",
	format: "iife",
	target: ["chrome100", "firefox100", "safari15.4"],
	nodePaths: [join(folder, "node_modules")],
	logLevel: "warning",
});
const made = (ending) => built.outputFiles.find((file) => file.path.endsWith(ending)).text.trim();

// The packages that really are in the bundle, each with its own licence text.
function licences() {
	const names = new Set();
	for (const input of Object.keys(built.metafile.inputs)) {
		const found = input.match(/node_modules\/((?:@[^/]+\/)?[^/]+)\//);
		if (found) names.add(found[1]);
	}
	return [...names].sort().map((name) => {
		const home = join(folder, "node_modules", name);
		const { version } = JSON.parse(readFileSync(join(home, "package.json")));
		const file = readdirSync(home).find((entry) => /^licen[cs]e/i.test(entry));
		if (!file) throw new Error(`${name} has no licence text`);
		return `${name} ${version}\n\n${readFileSync(join(home, file), "utf8").trim()}`;
	}).join("\n\n\n");
}

const inside = (text) => text.replaceAll("</script", "<\\/script").replaceAll("<!--", "<\\!--");
const parts = { STYLE: made(".css"), SCRIPT: inside(made(".js")), LICENCES: inside(licences()) };
let page = readFileSync(join(web, "page.html"), "utf8");
for (const [name, text] of Object.entries(parts))
	page = page.replace(`TIDEMARK_${name}`, () => text);
writeFileSync(out, page);
