/** A vector as base64 of little-endian 32-bit floats: OpenAI's `base64` encoding, and how we keep vectors. */
export const encodeVector = (vector: Float32Array): string => Buffer.from(vector.buffer, vector.byteOffset, vector.byteLength).toString('base64');

/** The inverse of `encodeVector`; undefined when it is no such text. */
export const decodeVector = (base64: string): Float32Array | undefined => {
  const bytes = Buffer.from(base64, 'base64');
  if (bytes.length === 0 || bytes.length % 4 !== 0) return undefined;
  // Copied, because the bytes of a small Buffer may begin anywhere in a shared one.
  return new Float32Array(new Uint8Array(bytes).buffer);
};
