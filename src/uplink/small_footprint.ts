/**
 * Settings for a process that waits most of its life. Imported first, for its effect.
 *
 * Its JavaScript only moves numbers (files, TLS and HTTP parsing are native), so optimizing compilers bring nothing, and
 * cost 15 MB as soon as a few hundred requests have made something hot. Measured with Node 26: 64 MiB to the archive in
 * the same CPU time with and without.
 */
import { setPriority } from 'node:os';
import { setFlagsFromString } from 'node:v8';

setFlagsFromString('--no-opt');
setFlagsFromString('--no-maglev');
// What is sent a moment later hurts nobody; a keystroke that ttyspyd relays a moment later does.
setPriority(5);
