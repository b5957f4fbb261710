#!/bin/sh
# The compatible API with nothing but curl: a chat, a picture, a file, a batch of it, polling, results as they finish, the output file.
set -eu

help() {
  cat <<'TEXT'
Walks through the OpenAI-compatible API with curl.

  sh examples/curl.sh

Environment:
  FANA_URL      where FANA is (default http://127.0.0.1:3000)
  FANA_API_KEY  a key of it: npm start prints one
TEXT
}
case "${1:-}" in --help | -h) help; exit 0 ;; esac
if [ -z "${FANA_API_KEY:-}" ]; then
  echo 'FANA_API_KEY is not set.' >&2
  help >&2
  exit 1
fi
V1="${FANA_URL:-http://127.0.0.1:3000}/v1"
ask() { curl --silent --show-error --fail-with-body --header "authorization: Bearer $FANA_API_KEY" "$@"; }
# The first value of a text field, as there is no jq here: enough for ids and words.
field() { sed -n "s/.*\"$1\": *\"\([^\"]*\)\".*/\1/p" | head -n 1; }

echo '== A chat'
ask "$V1/chat/completions" --json '{"model":"chat-default","messages":[{"role":"user","content":"What is the capital of Peru?"}]}'

printf '\n== A chat, streamed\n'
ask --no-buffer "$V1/chat/completions" --json '{"model":"chat-default","stream":true,"messages":[{"role":"user","content":"Say hello."}]}'

printf '\n== A picture, as a link\n'
ask "$V1/images/generations" --json '{"model":"image-default","prompt":"a fox in the snow"}'

printf '\n== A file with the lines of a batch\n'
LINES="$(mktemp)"
trap 'rm -f "$LINES"' EXIT
for n in 1 2 3; do
  printf '{"custom_id":"fox-%s","method":"POST","url":"/v1/images/generations","body":{"model":"image-default","prompt":"fox number %s"}}\n' "$n" "$n"
done >"$LINES"
FILE="$(ask "$V1/files" --form purpose=batch --form "file=@$LINES;filename=foxes.jsonl" | field id)"
echo "$FILE"

echo '== A batch of it'
BATCH="$(ask "$V1/batches" --json "{\"input_file_id\":\"$FILE\",\"endpoint\":\"/v1/images/generations\",\"completion_window\":\"24h\"}" | field id)"
echo "$BATCH"

echo '== Polling'
STATUS=validating
while [ "$STATUS" != completed ]; do
  case "$STATUS" in failed | expired | cancelled) echo "the batch is $STATUS" >&2; exit 1 ;; esac
  sleep 1
  STATUS="$(ask "$V1/batches/$BATCH" | field status)"
  echo "$STATUS"
done

echo '== Its results, as they finish (beyond OpenAI)'
ask "$V1/batches/$BATCH/results?limit=100"

printf '\n== Its output file\n'
OUTPUT="$(ask "$V1/batches/$BATCH" | field output_file_id)"
ask "$V1/files/$OUTPUT/content"
