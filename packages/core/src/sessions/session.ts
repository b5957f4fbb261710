/** A conversation. `language`: the one that was set. `spoken`: the last one a message was surely in, which counts while none is set. */
export type Session = {
  id: string;
  tenant: string;
  metadata: Record<string, string>;
  system?: string;
  language?: string;
  spoken?: string;
  turnCount: number;
  /** Whether its last turn makes or shows a picture. */
  showsPicture: boolean;
  createdMs: number;
  /** Put off by every use: a new turn, the end of a turn, a change. */
  expiresMs: number;
  endedMs?: number;
};

const seconds = (ms: number | undefined): number | null => (ms === undefined ? null : Math.floor(ms / 1000));

/** The session as a client sees it. */
export const presentSession = (session: Session) => ({
  id: session.id,
  object: 'session' as const,
  metadata: session.metadata,
  system: session.system ?? null,
  language: session.language ?? session.spoken ?? null,
  turn_count: session.turnCount,
  created_at: seconds(session.createdMs),
  expires_at: seconds(session.expiresMs),
  ended_at: seconds(session.endedMs),
});
