/** The job a message asks for; see training/GUIDE.md. */
export type TriggerLabel = 'chat' | 'image' | 'vision';
