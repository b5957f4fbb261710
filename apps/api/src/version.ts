/** The version of this installation, as in package.json (compared by a test). */
export const VERSION = '0.1.0';
