# One image for both processes: `node apps/api/dist/main.mjs` (the default) and `node apps/worker/dist/main.mjs`.

# --- Install and build with everything ------------------------------------------------------------------------------
FROM node:24.21.0-bookworm-slim AS build
WORKDIR /app
ENV CI=true TURBO_TELEMETRY_DISABLED=1 DO_NOT_TRACK=1
# The manifests first: the install is done again only when one of them changed.
COPY package.json pnpm-lock.yaml pnpm-workspace.yaml ./
COPY apps/api/package.json apps/api/
COPY apps/worker/package.json apps/worker/
COPY packages/core/package.json packages/core/
COPY packages/testkit/package.json packages/testkit/
COPY bench/package.json bench/
COPY e2e/package.json e2e/
COPY examples/package.json examples/
RUN npx -y pnpm@12.21.0 install --frozen-lockfile
COPY . .
RUN PATH="/app/node_modules/.bin:$PATH" turbo run build

# --- Only what the bundles load at run time: native parts and packages with files of their own -------------------------
FROM node:24.21.0-bookworm-slim AS packages
WORKDIR /app
ENV CI=true
COPY --from=build /app/package.json /app/pnpm-lock.yaml /app/pnpm-workspace.yaml ./
COPY apps/api/package.json apps/api/
COPY apps/worker/package.json apps/worker/
COPY packages/core/package.json packages/core/
COPY packages/testkit/package.json packages/testkit/
COPY bench/package.json bench/
COPY e2e/package.json e2e/
COPY examples/package.json examples/
RUN npx -y pnpm@12.21.0 install --frozen-lockfile --prod --filter @fana/api --filter @fana/worker \
  && rm -rf node_modules/node-linux-* node_modules/.pnpm/node-linux-*

# --- What runs ----------------------------------------------------------------------------------------------------------
FROM node:24.21.0-bookworm-slim
WORKDIR /app
ENV NODE_ENV=production HOST=0.0.0.0 PORT=3000 FANA_DATA_DIR=/data XDG_CACHE_HOME=/tmp
RUN groupadd --gid 10001 fana \
  && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin fana \
  && install --directory --owner 10001 --group 10001 --mode 0700 /data
COPY package.json LICENSE ./
COPY scripts/health.mjs scripts/
COPY --from=packages /app/node_modules node_modules
COPY --from=packages /app/apps/api/node_modules apps/api/node_modules
COPY --from=packages /app/apps/worker/node_modules apps/worker/node_modules
COPY --from=build /app/apps/api/dist apps/api/dist
COPY --from=build /app/apps/worker/dist apps/worker/dist
USER 10001:10001
VOLUME /data
EXPOSE 3000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 CMD ["node", "scripts/health.mjs", "api"]
CMD ["node", "apps/api/dist/main.mjs"]
