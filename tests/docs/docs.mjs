// docs.mjs CHECK ROOT KAIROD: compares the documents with the program and its sources. Prints what differs, one
// line each, and fails where anything does.
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

const [check, root, kairod] = process.argv.slice(2);
const read = (path) => readFileSync(join(root, path), "utf8");
const problems = [];
const expect = (good, problem) => good || problems.push(problem);

/// The first word of every item of a page: `.It Cm process.spawn` gives "process.spawn".
const items = (page) => page.split("\n").map((line) => /^\.It (?:(?:Cm|Va) )?(\S+)/.exec(line)?.[1]).filter(Boolean);

const checks = {
  // Every option of kairod --help, and every member of its configuration, stands in kairod(8).
  options() {
    const page = read("man/kairod.8");
    const help = execFileSync(kairod, ["--help"], { encoding: "utf8", timeout: 30_000 });
    const options = new Set(help.match(/(?<=^\s+(?:-\w,)?--)[a-z][a-z-]*/gm));
    expect(options.size >= 5, `no options found in the help of ${kairod}`);
    for (const option of options)
      expect(new RegExp(`^\\.It .*Fl -${option}\\b`, "m").test(page), `kairod.8 does not tell of --${option}`);
    const members = new Set(Array.from(read("apps/kairod/config.cpp").matchAll(/name == "(\w+)"/g), (m) => m[1]));
    expect(members.size >= 5, "no members found in apps/kairod/config.cpp");
    for (const member of members)
      expect(new RegExp(`^\\.It Va ${member}\\b`, "m").test(page), `kairod.8 does not tell of "${member}"`);
  },

  // Every method, and every field of its params and result, stands in kairo-protocol(7); and no other method does.
  methods() {
    const told = new Set(items(read("man/kairo-protocol.7")));
    const methods = Array.from(read("lib/kernel/methods.cpp").matchAll(/row\(\s*"([^"]+)"/g), (m) => m[1]);
    expect(methods.length >= 20, "no methods found in lib/kernel/methods.cpp");
    for (const method of methods) expect(told.has(method), `kairo-protocol.7 does not tell of ${method}`);
    for (const item of told)
      expect(!/^(kernel|process|event|system|device)\./.test(item) || methods.includes(item),
             `kairo-protocol.7 tells of ${item}, which is no method`);
    for (const header of ["methods", "session", "system", "envelope"])
      for (const [, field] of read(`lib/api/${header}.hpp`).matchAll(/(?:field|defaulted)\(\s*"(\w+)"/g))
        expect(told.has(field), `kairo-protocol.7 does not tell of the field ${field} of lib/api/${header}.hpp`);
  },

  // Every hexadecimal example of kairo-protocol(7) is a test vector: `.\" vector NAME` stands before its block.
  vectors() {
    const bytes = (text) => text.replace(/#.*/g, "").replace(/\s+/g, "").toLowerCase();
    let shown = 0;
    let name;
    let block;
    for (const line of read("man/kairo-protocol.7").split("\n")) {
      const marker = /^\.\\" vector (\S+)$/.exec(line);
      if (marker) name = marker[1];
      else if (line.startsWith(".Bd ")) block = [];
      else if (line === ".Ed") {
        const digits = bytes(block.join("\n"));
        const hex = block.length > 0 && digits !== "" && /^[0-9a-f]+$/.test(digits);
        expect(hex === (name !== undefined), `a block of kairo-protocol.7 has hexadecimal digits and no vector's name, ` +
               `or the reverse: ${block[0]}`);
        if (name !== undefined) {
          const file = `tests/vectors/${name}.hex`;
          if (!existsSync(join(root, file))) problems.push(`there is no ${file}`);
          else expect(bytes(read(file)) === digits, `the example ${name} of kairo-protocol.7 is not ${file}`);
          ++shown;
        }
        name = block = undefined;
      } else if (block) block.push(line);
    }
    expect(shown >= 5, `kairo-protocol.7 shows ${shown} vectors`);
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
