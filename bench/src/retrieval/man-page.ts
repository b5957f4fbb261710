export type Page = { description: string; text: string };

const plain = (text: string): string =>
  text
    .replace(/\\f(?:\[[^\]]*\]|\(..|.)/g, '')
    .replace(/\\(?:-|\(hy|\[-\])/g, '-')
    .replace(/\\\((?:aq|cq|oq|lq|rq)|\\\[(?:aq|cq|oq|lq|rq|dq)\]/g, "'")
    .replace(/\\(?:\(bu|\[bu\])/g, '*')
    .replace(/\\[&|^/,%:)~c]/g, '')
    .replace(/\\ /g, ' ')
    .replace(/\\e/g, '\\')
    .replace(/\\s[-+]?\d+/g, '')
    .replace(/\\(?:\[[^\]]*\]|\(..|\*(?:\(..|\[[^\]]*\]|.))/g, ' ')
    .replace(/"/g, '')
    .trim();

/** The description behind the dash of the NAME section (man), or in `.Nd` (mdoc). */
const descriptionOf = (name: string, source: string): string => {
  const mdoc = /^\.Nd\s+(.+)$/m.exec(source)?.[1];
  if (mdoc !== undefined) return plain(mdoc);
  return /\s[-–—]+\s+(.+)$/s.exec(plain(name.replace(/^\.[A-Z]+\s*/gm, '').replaceAll('\n', ' ')))?.[1]?.replace(/\s+/g, ' ') ?? '';
};

/** Reads the source of a manual page roughly: headings and words, which is what retrieval sees of it. The NAME section is left out of the text. */
export const readManPage = (source: string): Page | undefined => {
  const lines: string[] = [];
  const name: string[] = [];
  let section = '';
  for (const line of source.split('\n')) {
    if (/^[.'](?:\\"|\s*$)/.test(line)) continue;
    const heading = /^\.S[Hh]\s+(.+)$/.exec(line)?.[1];
    if (heading !== undefined) {
      section = plain(heading).toUpperCase();
      if (section !== 'NAME') lines.push('', `## ${plain(heading)}`, '');
      continue;
    }
    if (section === 'NAME') name.push(line);
    if (section === 'NAME' || section === '') continue;
    const subheading = /^\.S[Ss]\s+(.+)$/.exec(line)?.[1];
    if (subheading !== undefined) lines.push('', `### ${plain(subheading)}`, '');
    else if (/^\.(?:TP|PP|P|LP|Pp|It|sp|HP|IP)\b/.test(line)) lines.push('', plain(line.replace(/^\.\w+/, '')));
    else lines.push(plain(line.replace(/^[.']\s*[A-Za-z]{1,3}\s?/, '')));
  }
  const description = descriptionOf(name.join('\n'), source);
  const text = lines
    .join('\n')
    .replace(/\n{3,}/g, '\n\n')
    .trim();
  return description === '' || text === '' ? undefined : { description, text };
};
