import type { BlobRecord } from '@fana/core/blobs/blob.ts';
import { removeBlobs } from '@fana/core/blobs/store.ts';
import { AppError, toAppError } from '@fana/core/errors.ts';
import { cleanFilename } from '@fana/core/files/file.ts';
import { derivedId, newId } from '@fana/core/ids.ts';
import { readJob } from '@fana/core/jobs/store.ts';
import { parseWith } from '@fana/core/parse.ts';
import { type Collection, type DocumentRecord, MAX_DOCUMENT_BYTES } from '@fana/core/retrieval/collection.ts';
import {
  type Content,
  type DocumentFacts,
  deleteDocument,
  findDocument,
  ingestDocument,
  keepContent,
  listDocuments,
  parseDocument,
  parseFacts,
  storeContent,
} from '@fana/core/retrieval/manage-documents.ts';
import { presentDocument } from '@fana/core/retrieval/present.ts';
import type { Context, Hono } from 'hono';
import type { ApiDeps } from '../api-deps.ts';
import type { Environment } from '../environment.ts';
import { listPage, listQuery } from '../list-page.ts';
import { allowOnly } from '../method-not-allowed.ts';
import { readJson } from '../middleware/body.ts';
import { createOnce } from '../middleware/idempotency.ts';
import { type FormPart, formParts } from '../middleware/multipart.ts';

const MAX_JSON_BYTES = 10 * 1024 * 1024;
const LIMITS = { maxFileBytes: MAX_DOCUMENT_BYTES, maxBodyBytes: MAX_DOCUMENT_BYTES + 1024 * 1024 };

/** What a request brings: checked, and what it is told apart by; its content is stored by `keep`. */
type Arrival = { facts: DocumentFacts; fingerprint: string; keep: () => Promise<Content>; blob?: BlobRecord };

const invalid = (param: string, problem: string): AppError => new AppError('invalid_request', `${param}: ${problem}.`, { param });

/** `metadata` is JSON in a form. */
const fieldValue = (name: string, value: string): unknown => {
  if (name !== 'metadata') return value;
  try {
    return JSON.parse(value);
  } catch {
    throw invalid('metadata', 'must be a JSON object');
  }
};

type Receiving = { fields: Record<string, unknown>; filename?: string; blob?: BlobRecord };

const receive = async (deps: ApiDeps, tenant: string, receiving: Receiving, part: FormPart): Promise<void> => {
  const { name } = part;
  if (part.kind === 'field') {
    if (name === 'file') throw invalid('file', 'must be sent as a file, with a filename');
    if (Object.hasOwn(receiving.fields, name)) throw invalid(name, 'must not be sent twice');
    receiving.fields[name] = fieldValue(name, part.value);
    parseFacts(receiving.fields);
    return;
  }
  if (name !== 'file') throw invalid(name, 'is no field of a document: its bytes are the field file');
  if (receiving.blob) throw invalid('file', 'only one file can be sent at a time');
  receiving.filename = cleanFilename(part.filename);
  receiving.blob = await storeContent(deps, tenant, part.bytes, part.mediaType.slice(0, 200).toLowerCase());
};

/** The bytes of a form go to the blob store as they come; they are taken back when the form is refused. */
const receiveForm = async (deps: ApiDeps, c: Context<Environment>): Promise<Arrival> => {
  const receiving: Receiving = { fields: {} };
  try {
    for await (const part of formParts(c, LIMITS)) await receive(deps, c.var.caller.tenant, receiving, part);
    const { fields, filename = 'file', blob } = receiving;
    const facts = parseFacts(fields);
    if (!blob) throw invalid('file', 'is required');
    const content: Content = { source: { kind: 'blob', blobId: blob.id, mediaType: blob.mediaType, filename }, bytes: blob.bytes, preview: filename };
    return { facts, fingerprint: JSON.stringify([facts, filename, blob.sha256]), keep: async () => content, blob };
  } catch (error) {
    if (receiving.blob) await takeBack(deps, receiving.blob);
    throw error;
  }
};

const receiveJson = async (deps: ApiDeps, c: Context<Environment>): Promise<Arrival> => {
  const { raw, body } = await readJson(c, MAX_JSON_BYTES);
  const { given, ...facts } = parseDocument(deps, body);
  return { facts, fingerprint: raw, keep: () => keepContent(deps, c.var.caller.tenant, given) };
};

const takeBack = async (deps: ApiDeps, blob: BlobRecord): Promise<void> => {
  await removeBlobs(deps, [blob.id]).catch((error: unknown) =>
    deps.logger.warn({ err: error, id: blob.id }, 'the bytes of a refused document were not removed'),
  );
};

const isForm = (c: Context): boolean => /^multipart\/form-data/i.test(c.req.header('content-type') ?? '');

type Stored = { collection: Collection; arrival: Arrival; replaces?: DocumentRecord };

/** Accepts a new document, or a new version of one, once for an Idempotency-Key. */
const store = async (deps: ApiDeps, c: Context<Environment>, { collection, arrival, replaces }: Stored): Promise<Response> => {
  const { facts, fingerprint, keep, blob } = arrival;
  let isKept = false;
  try {
    const { kind, object } = await createOnce(c, {
      deps,
      route: `documents:${replaces?.id ?? collection.id}`,
      rawBody: fingerprint,
      id: replaces ? newId('job') : newId('doc'),
      // A document's own id tells the job of its first version, so that a repeated request finds what the first one began.
      make: async (id) => {
        const [documentId, jobId] = replaces ? [replaces.id, id] : [id, derivedId('job', id, 'first version')];
        return ingestDocument(deps, deps.acceptor, c.var.caller, collection, { id: documentId, jobId, facts, content: await keep(), replaces });
      },
      find: async (id) => {
        const document = await findDocument(deps, collection, replaces?.id ?? id);
        return document && (await readJob(deps.redis, replaces ? id : document.jobId)) ? document : undefined;
      },
    });
    isKept = kind === 'made';
    c.header('Location', `/v1/collections/${collection.id}/documents/${object.id}`);
    return c.json(presentDocument(object), 202);
  } catch (error) {
    // Redis may have the document although its answer was lost.
    isKept = ['unavailable', 'internal_error', 'not_found'].includes(toAppError(error).code);
    throw error;
  } finally {
    if (!isKept && blob) await takeBack(deps, blob);
  }
};

/** The document named in the path. @throws AppError `not_found`. */
const documentOf = async (deps: ApiDeps, c: Context<Environment>, collection: Collection): Promise<DocumentRecord> => {
  const document = await findDocument(deps, collection, c.req.param('document') ?? '');
  if (!document) throw new AppError('not_found', 'There is no such document.', { param: 'document' });
  return document;
};

/** `…/{collection}/documents`. */
export const addDocumentRoutes = (routes: Hono<Environment>, deps: ApiDeps, collectionOf: (c: Context<Environment>) => Promise<Collection>): void => {
  const arrive = (c: Context<Environment>): Promise<Arrival> => (isForm(c) ? receiveForm(deps, c) : receiveJson(deps, c));

  routes.post('/:id/documents', async (c) => {
    const collection = await collectionOf(c);
    return store(deps, c, { collection, arrival: await arrive(c) });
  });
  routes.get('/:id/documents', async (c) => {
    const { documents, hasMore } = await listDocuments(deps, await collectionOf(c), parseWith(listQuery, c.req.query()));
    return c.json(listPage(documents.map(presentDocument), hasMore));
  });
  routes.get('/:id/documents/:document', async (c) => c.json(presentDocument(await documentOf(deps, c, await collectionOf(c)))));
  // A new version: the one before is found until this one is whole.
  routes.post('/:id/documents/:document', async (c) => {
    const collection = await collectionOf(c);
    const replaces = await documentOf(deps, c, collection);
    return store(deps, c, { collection, arrival: await arrive(c), replaces });
  });
  routes.delete('/:id/documents/:document', async (c) => {
    const document = await documentOf(deps, c, await collectionOf(c));
    await deleteDocument(deps, document);
    return c.json({ id: document.id, object: 'document', deleted: true });
  });
  routes.all('/:id/documents', allowOnly('GET', 'POST'));
  routes.all('/:id/documents/:document', allowOnly('GET', 'POST', 'DELETE'));
};
