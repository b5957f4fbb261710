/** The longest a request may block. */
export const MAX_WAIT_SECONDS = 60;

/** What `Prefer` asks for (RFC 7240): `wait=N` in whole seconds, at most 60, and `respond-async`. Anything else is ignored, as the RFC says. */
export const parsePrefer = (header: string | undefined): { waitSeconds?: number; respondAsync: boolean } => {
  const preferences = (header ?? '').split(',').map((preference) => preference.split(';')[0]?.trim().toLowerCase() ?? '');
  const wait = preferences.map((preference) => /^wait\s*=\s*"?(\d{1,6})"?$/.exec(preference)?.[1]).find((seconds) => seconds !== undefined);
  return {
    respondAsync: preferences.includes('respond-async'),
    ...(wait !== undefined && { waitSeconds: Math.min(Number(wait), MAX_WAIT_SECONDS) }),
  };
};
