/** What all requests share. */
import type { Log } from '../os/log.ts';
import type { ReceiverLimits } from './limits.ts';
import type { Sessions } from './sessions.ts';
import type { Space } from './space.ts';

export interface Archive {
  /** Directory of the archive. */
  readonly store: string;
  /** Whether a certificate must name the host whose sessions it brings. */
  readonly hostnameCheck: boolean;
  readonly limits: ReceiverLimits;
  readonly sessions: Sessions;
  readonly space: Space;
  readonly log: Log;
}
