/** The rules of the layout (src/README.md) against what the sources really import. */
import { existsSync, globSync, lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { dirname, join, relative } from 'node:path';
import t from 'tap';
import { type Import, importsOf, withoutComments } from './support/imports.ts';

const ROOT = join(import.meta.dirname, '..');
const SRC = join(ROOT, 'src');

const PROGRAMS = ['client', 'daemon', 'uplink', 'receiver', 'ctl', 'web', 'ca'];
const LIBRARIES = ['session', 'ssh', 'ledger', 'config', 'os'];
/** Without I/O, clock and process. ssh/ is so but for the agent, which is I/O by nature. */
const PURE = ['session', 'config', 'ledger'];
const NATIVE_PACKAGES = ['node-pty', 'posix', 'sd-notify'];
const NETWORK = ['net', 'tls', 'http', 'https', 'http2', 'dgram'];
/** Who may open network connections or listen for them. */
const MAY_NETWORK = [/^uplink\//, /^receiver\/server/, /^web\/server/, /^ca\/server/];
/** Of these modules, what opens nothing. */
const OPENS_NOTHING = ['isIP', 'createSecureContext', 'getCACertificates'];
/** What gives and takes values only. */
const PURE_MODULES = ['assert', 'buffer', 'crypto', 'path', 'querystring', 'string_decoder', 'url', 'util'];
const MOST_LINES = 300;

interface Source {
  /** Relative to src/, such as daemon/main.ts. */
  readonly path: string;
  readonly directory: string;
  readonly text: string;
  readonly imports: readonly Import[];
}

const sources: Source[] = globSync('**/*.ts', { cwd: SRC, exclude: ['**/node_modules/**', '**/build/**'] })
  .toSorted()
  .map(path => {
    const text = readFileSync(join(SRC, path), 'utf8');
    return { path, directory: path.split('/')[0] as string, text, imports: importsOf(text) };
  });

/** Where a relative import leads, relative to src/. */
function target(source: Source, { specifier }: Import): string {
  return relative(SRC, join(SRC, dirname(source.path), specifier));
}

const isRelative = ({ specifier }: Import) => specifier.startsWith('.');
const builtin = ({ specifier }: Import) =>
  specifier.startsWith('node:') || builtinModules.includes(specifier)
    ? specifier.replace(/^node:/, '').split('/')[0]
    : undefined;

/** A line for each import of the sources that breaks a rule. */
function offences(broken: (source: Source, one: Import) => boolean): string[] {
  return sources.flatMap(source =>
    source.imports.filter(one => broken(source, one)).map(one => `${source.path}: ${one.specifier}`),
  );
}

t.test('every directory is a program or a library that the design names', async t => {
  const known = [...PROGRAMS, ...LIBRARIES, 'native'];
  const found = readdirSync(SRC, { withFileTypes: true }).filter(entry => entry.isDirectory());
  t.same(
    found.map(entry => entry.name).filter(name => !known.includes(name)),
    [],
  );
  t.ok(sources.length > 50, `${sources.length} sources`);
});

t.test('every import leads to a file that is there, and stays in src/', async t => {
  t.same(
    offences((source, one) => isRelative(one) && !existsSync(join(SRC, target(source, one)))),
    [],
  );
  t.same(
    offences((source, one) => isRelative(one) && target(source, one).startsWith('..')),
    // The version.
    ['ctl/main.ts: ../../package.json'],
  );
});

t.test('programs never import one another', async t => {
  t.same(
    offences((source, one) => {
      const other = target(source, one).split('/')[0] as string;
      return isRelative(one) && PROGRAMS.includes(other) && other !== source.directory;
    }),
    [],
  );
});

t.test('pure libraries have no I/O, no clock, no process', async t => {
  const pure = (source: Source) => PURE.includes(source.directory);
  t.same(
    offences((source, one) => {
      const name = builtin(one);
      return pure(source) && name !== undefined && !PURE_MODULES.includes(name);
    }),
    [],
  );
  t.same(
    offences(
      (source, one) =>
        pure(source) && isRelative(one) && !PURE.includes(target(source, one).split('/')[0] as string),
    ),
    [],
  );
  const impure =
    /\bprocess\b|\bperformance\b|\bDate\.now\b|\bnew Date\(\)|\bMath\.random\b|\bset(?:Timeout|Interval|Immediate)\b|\bfetch\(|\bconsole\b/;
  t.same(
    sources
      .filter(source => pure(source) && impure.test(withoutComments(source.text)))
      .map(({ path }) => path),
    [],
  );
});

t.test('only os/ loads the addon and the native packages', async t => {
  t.same(
    offences(
      (source, { specifier }) =>
        source.directory !== 'os' && (NATIVE_PACKAGES.includes(specifier) || specifier.includes('.node')),
    ),
    [],
  );
  t.same(
    sources.filter(({ path, text }) => path !== 'os/native.ts' && text.includes('ttyspy.node')),
    [],
  );
});

t.test('only those who must open network connections', async t => {
  t.same(
    offences((source, one) => {
      const name = builtin(one);
      const harmless = one.names.length > 0 && one.names.every(word => OPENS_NOTHING.includes(word));
      const free = one.typeOnly || harmless || MAY_NETWORK.some(pattern => pattern.test(source.path));
      return name !== undefined && NETWORK.includes(name) && !free;
    }),
    [],
  );
});

t.test('the log is made in one place', async t => {
  t.same(
    offences(({ path }, { specifier }) => specifier === 'pino' && path !== 'os/log.ts'),
    [],
  );
});

t.test('no dependency that package.json does not name', async t => {
  const { dependencies } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
  const packageOf = (name: string) => name.split('/', name.startsWith('@') ? 2 : 1).join('/');
  t.same(
    offences((_, one) => {
      const ours = isRelative(one) || builtin(one) !== undefined;
      return !ours && !Object.hasOwn(dependencies, packageOf(one.specifier));
    }),
    [],
  );
});

t.test('no file without an importer or an entry', async t => {
  const imported = new Set(
    sources.flatMap(source => source.imports.filter(isRelative).map(one => target(source, one))),
  );
  t.same(
    sources.map(({ path }) => path).filter(path => !imported.has(path) && !/^[a-z]+\/main\.ts$/.test(path)),
    [],
  );
});

t.test('no circle of imports', async t => {
  const edges = new Map(
    sources.map(source => [
      source.path,
      source.imports.filter(one => isRelative(one) && !one.typeOnly).map(one => target(source, one)),
    ]),
  );
  const state = new Map<string, 'open' | 'done'>();
  const circles: string[] = [];
  const visit = (path: string, way: readonly string[]): void => {
    if (state.get(path) === 'open') circles.push([...way, path].join(' -> '));
    if (state.has(path)) return;
    state.set(path, 'open');
    for (const next of edges.get(path) ?? []) visit(next, [...way, path]);
    state.set(path, 'done');
  };
  for (const path of edges.keys()) visit(path, []);
  t.same(circles, []);
});

t.test(`files of at most ${MOST_LINES} lines`, async t => {
  const native = globSync('native/*.{c,h}', { cwd: SRC });
  const long = [...sources.map(({ path }) => path), ...native]
    .map(path => ({ path, lines: readFileSync(join(SRC, path), 'utf8').split('\n').length - 1 }))
    .filter(({ lines }) => lines > MOST_LINES);
  t.same(long, []);
});

t.test('every program has an entry and a launcher under its name', async t => {
  const { bin } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
    bin: Record<string, string>;
  };
  for (const [name, path] of Object.entries(bin)) {
    t.match(path, new RegExp(`^src/[a-z]+/${name}$`));
    t.ok(existsSync(join(ROOT, dirname(path), 'main.ts')), `${name} has main.ts`);
    t.ok(lstatSync(join(ROOT, path)).isSymbolicLink(), `${path} is a link`);
    t.equal(readlinkSync(join(ROOT, path)), '../native/build/Release/launch');
  }
});
