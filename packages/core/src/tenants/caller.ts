/** What a key may do. `admin` is the right to manage keys and implies every other scope. */
export const SCOPES = ['jobs', 'files', 'sessions', 'documents', 'webhooks', 'usage', 'admin'] as const;
export type Scope = (typeof SCOPES)[number];

/** Who calls: what a valid key stands for. */
export type Caller = {
  tenant: string;
  keyId: string;
  scopes: readonly Scope[];
  /** 0 = unlimited. */
  requestsPerMinute: number;
  /** System prompt of the key. */
  system?: string | undefined;
  /** Models the key may use, by id or alias; undefined = all. */
  models?: readonly string[] | undefined;
};
