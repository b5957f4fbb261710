/**
 * Where the installation is and the key to it: from the environment. Says how to use the example, and ends it, when the key is missing
 * or the caller asks with --help.
 * @param {string} help what the example does and how it is called
 */
export const readSettings = (help) => {
  const { FANA_URL: url = 'http://127.0.0.1:3000', FANA_API_KEY: apiKey = '' } = process.env;
  const isAsked = process.argv.includes('--help') || process.argv.includes('-h');
  if (isAsked || !apiKey) {
    const text = `${help.trim()}\n\nEnvironment:\n  FANA_URL      where FANA is (default http://127.0.0.1:3000)\n  FANA_API_KEY  a key of it: npm start prints one\n`;
    if (isAsked) process.stdout.write(text);
    else process.stderr.write(`FANA_API_KEY is not set.\n\n${text}`);
    process.exit(isAsked ? 0 : 1);
  }
  return { baseURL: `${url.replace(/\/+$/, '')}/v1`, apiKey };
};
