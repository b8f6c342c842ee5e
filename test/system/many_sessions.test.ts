/** Two hundred sessions at once through one ttyspyd. */
import t from 'tap';
import { Rig } from './rig/rig.ts';

const rig = await Rig.start();

t.test('the daemon is there', async t => {
  t.match(rig.log('ttyspyd'), '"msg":"ready"');
});
