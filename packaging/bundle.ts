/**
 * Makes the tree that packages install below /usr/lib/ttyspy:
 *
 *     node packaging/bundle.ts DIRECTORY
 *
 *     DIRECTORY/node                    the Node.js binary
 *     DIRECTORY/PROGRAM/main.cjs        a program in one file (client, daemon, uplink, receiver, ctl)
 *     DIRECTORY/PROGRAM/NAME            the launcher under each of the program's names
 *     DIRECTORY/native/build/Release    the addon, and ttyspy-wait
 *     DIRECTORY/node_modules            the native packages (node-pty, posix, sd-notify) and what they load
 *
 * One file each, because a login waits for its client: resolving and type-stripping the modules of a checkout takes
 * several times as long as Node's own start.
 */
import { chmodSync, copyFileSync, cpSync, mkdirSync, symlinkSync } from 'node:fs';
import { basename, dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import packageJson from '../package.json' with { type: 'json' };

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const NATIVE = 'native/build/Release';
/** What is loaded at run time, with its dependencies. */
const PACKAGES = ['node-pty', 'posix', 'sd-notify', 'bindings', 'file-uri-to-path'];
/** Sources and objects of native packages stay behind. */
const LEFT_OUT = /\/(?:src|deps|third_party|prebuilds|test|examples|obj\.target|\.deps|node-addon-api)$/;

async function bundleProgram(into: string, directory: string): Promise<void> {
  await build({
    entryPoints: [join(ROOT, 'src', directory, 'main.ts')],
    outfile: join(into, directory, 'main.cjs'),
    bundle: true,
    platform: 'node',
    target: 'node26',
    format: 'cjs',
    minifySyntax: true,
    minifyWhitespace: true,
    // CommonJS has no import.meta; paths relative to the program's directory stay what they are in src/.
    define: { 'import.meta.url': '__url', 'import.meta.dirname': '__dirname' },
    banner: { js: "const __url=require('node:url').pathToFileURL(__filename).href;" },
    logLevel: 'warning',
  });
}

const into = process.argv[2];
if (into === undefined) {
  process.stderr.write('usage: node packaging/bundle.ts DIRECTORY\n');
  process.exit(64);
}
mkdirSync(join(into, NATIVE), { recursive: true });
copyFileSync(process.execPath, join(into, 'node'));
chmodSync(join(into, 'node'), 0o755);
for (const file of ['ttyspy.node', 'ttyspy-wait']) {
  copyFileSync(join(ROOT, 'src', NATIVE, file), join(into, NATIVE, file));
}
for (const [name, path] of Object.entries(packageJson.bin)) {
  const directory = dirname(relative('src', path));
  await bundleProgram(into, directory);
  copyFileSync(join(ROOT, 'src', NATIVE, 'launch'), join(into, directory, name));
}
symlinkSync('ttyspy-receiver', join(into, 'receiver', 'session_receiver'));
for (const name of PACKAGES) {
  const filter = (source: string) => !LEFT_OUT.test(source) && basename(source) !== 'Makefile';
  cpSync(join(ROOT, 'node_modules', name), join(into, 'node_modules', name), { recursive: true, filter });
}
