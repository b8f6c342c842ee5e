/**
 * Manual pages of the configuration files, in mdoc, from the tables that check them:
 *
 *     node packaging/manual.ts ttyspy.conf | receiver.conf
 */
import type { Table } from '../src/config/directives.ts';
import { RECEIVER_DIRECTIVES } from '../src/config/receiver_conf.ts';
import { TTYSPY_DIRECTIVES } from '../src/config/ttyspy_conf.ts';

interface Page {
  readonly about: string;
  readonly file: string;
  readonly table: Table;
  readonly seeAlso: string;
}

const PAGES: Readonly<Record<string, Page>> = {
  'ttyspy.conf': {
    about: 'configuration of ttyspy, ttyspyd and ttyspy-uplink',
    file: '/etc/ttyspy/ttyspy.conf',
    table: TTYSPY_DIRECTIVES,
    seeAlso: '.Xr ttyspy 8 ,\n.Xr ttyspyd 8 ,\n.Xr ttyspy-uplink 8',
  },
  'receiver.conf': {
    about: 'configuration of ttyspy-receiver',
    file: '/etc/ttyspy/receiver.conf',
    table: RECEIVER_DIRECTIVES,
    seeAlso: '.Xr ttyspy-receiver 8',
  },
};

/** Text as mdoc takes it: a line that begins with a dot or an apostrophe would be a macro. */
function mdoc(text: string): string {
  return text.replaceAll('\\', '\\e').replace(/^([.'])/gm, '\\&$1');
}

function directives(table: Table): string {
  return Object.entries(table)
    .map(([name, { kind, about, use, default: value }]) => {
      const must =
        use === 'optional' ? '' : ` Required${use === 'repeated' ? '; may be there more than once' : ''}.`;
      const usual = value === null ? '' : ` The default is ${kind.write(value)}.`;
      return `.It Ic ${name}\n${mdoc(`Takes ${kind.expected}.`)}\n${mdoc(`${about}${usual}${must}`)}`;
    })
    .join('\n');
}

/** @returns the page; null for a file that has none */
export function manual(name: string): string | null {
  const page = PAGES[name];
  if (!page) return null;
  return `.Dd $Mdocdate$
.Dt ${name.toUpperCase()} 5
.Os
.Sh NAME
.Nm ${name}
.Nd ${page.about}
.Sh DESCRIPTION
One directive a line, words separated by blanks; a semicolon also ends a directive.
Words may be quoted with
.Sq \\&"
or
.Sq \\(aq ;
.Sq #
starts a comment.
.Bl -tag -width Ds
${directives(page.table)}
.El
.Sh FILES
.Bl -tag -width Ds
.It Pa ${page.file}
.El
.Sh SEE ALSO
${page.seeAlso}
`;
}

if (import.meta.main) {
  const page = manual(process.argv[2] ?? '');
  if (page === null) {
    process.stderr.write(`usage: node packaging/manual.ts ${Object.keys(PAGES).join(' | ')}\n`);
    process.exitCode = 64;
  } else process.stdout.write(page);
}
