/** ttyspy-uplink: brings what is in the spool to the archive, and removes what the archive has. */
import './small_footprint.ts';
import type { SecureContext } from 'node:tls';
import { dumpTtyspyConf, type TtyspyConf } from '../config/ttyspy_conf.ts';
import { ConfigError, ConfigFileError, loadTtyspyConf } from '../os/config_file.ts';
import { type Options, parseOptions, USAGE } from './options.ts';
import { hasParentPipe } from './parent.ts';
import { loadIdentity, type TlsFiles } from './tls_identity.ts';

/** sysexits.h */
const EX_USAGE = 64;
const EX_SOFTWARE = 70;
const EX_CONFIG = 78;

function fail(status: number, problem: string): never {
  process.stderr.write(`ttyspy-uplink: ${problem}\n`);
  process.exit(status);
}

function options(): Options {
  try {
    return parseOptions(process.argv.slice(2));
  } catch (error) {
    return fail(EX_USAGE, `${(error as Error).message}\n${USAGE}`);
  }
}

function configuration(file: string | undefined): TtyspyConf {
  try {
    return loadTtyspyConf(file);
  } catch (error) {
    if (error instanceof ConfigError || error instanceof ConfigFileError)
      return fail(EX_CONFIG, error.message);
    throw error;
  }
}

function identity(files: TlsFiles): SecureContext {
  try {
    return loadIdentity(files);
  } catch (error) {
    return fail(EX_CONFIG, (error as Error).message);
  }
}

const { file, check, dump, child, help } = options();
if (help) {
  process.stdout.write(USAGE);
  process.exit(0);
}
const conf = configuration(file);
if (dump) {
  process.stdout.write(dumpTtyspyConf(conf));
  process.exit(0);
}
if (child && !hasParentPipe()) fail(EX_USAGE, '--child needs a pipe on standard input');
const files: TlsFiles = { ca: conf.ca_path, cert: conf.cert_path, key: conf.key_path };
const context = identity(files);
if (check) process.exit(0);

process.on('uncaughtException', error => {
  // Our own broken invariant: the service manager starts it again, and the spool has everything.
  process.stderr.write(`ttyspy-uplink: internal error: ${error.stack}\n`);
  process.exit(EX_SOFTWARE);
});
void import('./service.ts').then(({ runUplink }) =>
  runUplink(conf.spool_path, conf.endpoint, files, context, child),
);
