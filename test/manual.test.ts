/** The manual pages say what the configuration's tables say. */
import t from 'tap';
import { manual } from '../packaging/manual.ts';
import { RECEIVER_DIRECTIVES } from '../src/config/receiver_conf.ts';
import { TTYSPY_DIRECTIVES } from '../src/config/ttyspy_conf.ts';

for (const [name, table] of [
  ['ttyspy.conf', TTYSPY_DIRECTIVES],
  ['receiver.conf', RECEIVER_DIRECTIVES],
] as const) {
  t.test(`${name}(5) has every directive once`, async t => {
    const page = manual(name) ?? '';
    for (const directive of Object.keys(table)) {
      t.equal(page.split(`.It Ic ${directive}\n`).length, 2, directive);
    }
    t.notMatch(page, /undefined|null|\[object/);
  });
}

t.equal(manual('sshd_config'), null, 'no page for what is not ours');
