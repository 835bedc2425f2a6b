// docs.mjs CHECK ROOT KAIROD: compares the documents with the program and its sources. Prints what differs, one
// line each, and fails where anything does.
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const [check, root, kairod] = process.argv.slice(2);
const read = (path) => readFileSync(join(root, path), "utf8");
const problems = [];
const expect = (good, problem) => good || problems.push(problem);

/// The first word of every item of a page: `.It Cm process.spawn` gives "process.spawn".
const items = (page) => page.split("\n").map((line) => /^\.It (?:(?:Cm|Va) )?(\S+)/.exec(line)?.[1]).filter(Boolean);

function checkVectors(page) {
  const bytes = (text) => text.replace(/#.*/g, "").replace(/\s+/g, "").toLowerCase();
  let shown = 0;
  let name;
  let block;
  for (const line of read(`man/${page}`).split("\n")) {
    const marker = /^\.\\" vector (\S+)$/.exec(line);
    if (marker) name = marker[1];
    else if (line.startsWith(".Bd ")) block = [];
    else if (line === ".Ed") {
      const digits = bytes(block.join("\n"));
      const hex = block.length > 0 && digits !== "" && /^[0-9a-f]+$/.test(digits);
      expect(hex === (name !== undefined), `a block of ${page} has hexadecimal digits and no vector's name, ` +
             `or the reverse: ${block[0]}`);
      if (name !== undefined) {
        const file = `tests/vectors/${name}.hex`;
        if (!existsSync(join(root, file))) problems.push(`there is no ${file}`);
        else expect(bytes(read(file)) === digits, `the example ${name} of ${page} is not ${file}`);
        ++shown;
      }
      name = block = undefined;
    } else if (block) block.push(line);
  }
  expect(shown >= 5, `${page} shows ${shown} vectors`);
}

const checks = {
  // Every option of kairod --help stands in kairod(8).
  options() {
    const page = read("man/kairod.8");
    const help = execFileSync(kairod, ["--help"], { encoding: "utf8", timeout: 30_000 });
    const options = new Set(help.match(/(?<=^\s+(?:-\w,)?--)[a-z][a-z-]*/gm));
    expect(options.size >= 5, `no options found in the help of ${kairod}`);
    for (const option of options)
      expect(new RegExp(`^\\.It .*Fl -${option}\\b`, "m").test(page), `kairod.8 does not tell of --${option}`);
  },

  // Every setting that kairod --check-config prints, and no other, stands in kairod.json(5), with its unit, its range
  // and its default; and the page's example is a good configuration.
  settings() {
    const dir = mkdtempSync(join(tmpdir(), "kairo-docs-"));
    const check = (text) => {
      const file = join(dir, "kairod.json");
      writeFileSync(file, text);
      const env = { ...process.env, XDG_CONFIG_HOME: dir };
      delete env.KAIRO_IPC_SOCKET;
      const { status, stdout, stderr } = spawnSync(kairod, ["--check-config", "--config", file],
                                                   { encoding: "utf8", env, timeout: 30_000 });
      return status === 0 ? JSON.parse(stdout) : stderr;
    };
    try {
      const settings = check("{}");
      const page = read("man/kairod.json.5");
      const told = new Map();
      for (const block of page.slice(0, page.indexOf(".Sh RELOADING")).split(/^\.It Va /m).slice(1)) {
        const end = block.search(/^\.(?:El|Ss|Sh)\b/m);
        told.set(/^\w+/.exec(block)[0], block.slice(0, end < 0 ? undefined : end));
      }
      expect(Object.keys(settings).length >= 15, `kairod --check-config printed: ${JSON.stringify(settings)}`);
      for (const name of told.keys()) expect(name in settings, `kairod.json.5 tells of "${name}", which is no setting`);
      for (const [name, value] of Object.entries(settings)) {
        const item = told.get(name);
        if (!item) problems.push(`kairod.json.5 does not tell of "${name}"`);
        else if (typeof value === "number") {
          const range = /^\w+ Pq ([a-z ]+), (\d+) to (\d+)$/m.exec(item);
          const wrong = check(`{"${name}": -1}`);
          const bounds = /(\d+) to (\d+) ([a-z ]+), not -1/.exec(wrong);
          expect(bounds && range && range[1] === bounds[3] && range[2] === bounds[1] && range[3] === bounds[2],
                 `kairod.json.5 gives "${name}" the range "${range?.[0]}", and kairod says: ${wrong}`);
          // A file of the system may have changed what holds on this machine.
          if (!existsSync("/etc/kairo/kairod.json"))
            expect(item.trimEnd().endsWith(`\n${value}.`), `kairod.json.5 does not end "${name}" with its default, ${value}`);
        }
      }
      const example = /^\.Bd -literal -offset indent\n(\{.*?\n\})\n\.Ed/ms.exec(page)?.[1];
      const effective = example && check(example);
      expect(typeof effective === "object", `the example of kairod.json.5 is refused: ${effective}`);
    } finally {
      rmSync(dir, { recursive: true });
    }
  },

  // Every method, and every field of its params and result, stands in kairo-protocol(7); and no other method does.
  methods() {
    const told = new Set(items(read("man/kairo-protocol.7")));
    const methods = Array.from(read("lib/kernel/methods.cpp").matchAll(/row\(\s*"([^"]+)"/g), (m) => m[1]);
    expect(methods.length >= 20, "no methods found in lib/kernel/methods.cpp");
    for (const method of methods) expect(told.has(method), `kairo-protocol.7 does not tell of ${method}`);
    for (const item of told)
      expect(!/^(kernel|process|event|audit|system|device)\./.test(item) || methods.includes(item),
             `kairo-protocol.7 tells of ${item}, which is no method`);
    for (const header of ["methods", "session", "system", "device", "audit", "envelope", "policy", "metrics", "process_metrics"])
      for (const [, field] of read(`lib/api/${header}.hpp`).matchAll(/(?:field|defaulted)\(\s*"(\w+)"/g))
        expect(told.has(field), `kairo-protocol.7 does not tell of the field ${field} of lib/api/${header}.hpp`);
  },

  // Every type of the control protocol, and every field of its data, stands in kairo-control(7).
  control() {
    const page = read("man/kairo-control.7");
    const header = read("lib/api/control.hpp");
    const types = Array.from(header.matchAll(/string_view \w+ = "(control\.[\w.]+)"/g), (m) => m[1]);
    expect(types.length >= 9, "no types found in lib/api/control.hpp");
    for (const type of types)
      expect(page.includes(`.Ql ${type}\n`) || page.includes(`.Ql ${type} `), `kairo-control.7 does not tell of ${type}`);
    const told = new Set(items(page));
    for (const [, field] of header.matchAll(/(?:field|defaulted)\(\s*"(\w+)"/g))
      expect(told.has(field), `kairo-control.7 does not tell of the field ${field}`);
    for (const [, name] of header.matchAll(/"(KAIRO_\w+)"/g))
      expect(page.includes(`.It Ev ${name}\n`), `kairo-control.7 does not tell of ${name}`);
  },

  // Every hexadecimal example of kairo-protocol(7) and kairo-control(7) is a test vector: `.\" vector NAME` stands
  // before its block.
  vectors() {
    for (const page of ["kairo-protocol.7", "kairo-control.7"]) checkVectors(page);
  },

  // Every member of a topology's file, every module and every parameter of one stands in kairo-topology(5); and the
  // page tells of no other module.
  topology() {
    const page = read("man/kairo-topology.5");
    const header = read("lib/api/topology.hpp");
    const declared = header.slice(0, header.indexOf("// --- what is told of one that runs"));
    const modules = read("lib/topology/modules.hpp");
    const told = new Set(page.match(/(?<=^\.(?:It )?Va .*?)\b\w+/gm));
    const fields = Array.from((declared + modules).matchAll(/(?:field|defaulted)\(\s*"(\w+)"/g), (m) => m[1]);
    expect(fields.length >= 35, "no members found in lib/api/topology.hpp and lib/topology/modules.hpp");
    for (const field of fields) expect(told.has(field), `kairo-topology.5 does not tell of ${field}`);
    const names = Array.from(read("lib/topology/modules.cpp").matchAll(/row<\w+>\(\s*"([^"]+)"/g), (m) => m[1]);
    expect(names.length >= 9, "no modules found in lib/topology/modules.cpp");
    const section = page.slice(page.indexOf(".Sh MODULES"), page.indexOf(".Sh CONNECTIONS"));
    const shown = Array.from(section.matchAll(/^\.It Cm (\S+)$/gm), (m) => m[1]);
    expect(shown.join() === names.join(), `the modules of kairo-topology.5 are ${shown}, and there are ${names}`);
  },

  // Every error code, and no other, stands in kairo-protocol(7) and in docs/errors.md.
  errors() {
    const codes = Array.from(read("lib/base/error.cpp").matchAll(/"(E_[A-Z_]+)"/g), (m) => m[1]);
    expect(codes.length >= 10, "no codes found in lib/base/error.cpp");
    const page = items(read("man/kairo-protocol.7"));
    const text = read("docs/errors.md");
    for (const code of codes) {
      expect(page.includes(code), `kairo-protocol.7 does not tell of ${code}`);
      expect(text.includes(`\n## ${code}\n`), `docs/errors.md has no section ${code}`);
    }
    for (const [code] of text.matchAll(/\bE_[A-Z_]+/g)) expect(codes.includes(code), `docs/errors.md: no code ${code}`);
    // Its examples are JSON.
    for (const [, json] of text.matchAll(/```json\n(.*?)```/gs))
      try {
        expect(codes.includes(JSON.parse(json).error.code), `docs/errors.md: an example without a code: ${json}`);
      } catch (error) {
        problems.push(`docs/errors.md: ${error.message} in ${json}`);
      }
  },
};

if (!checks[check]) problems.push(`there is no check "${check}": ${Object.keys(checks).join(", ")}`);
else checks[check]();
for (const problem of problems) console.error(problem);
process.exit(problems.length > 0 ? 1 : 0);
