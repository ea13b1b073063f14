# Starts the broker once its definitions are written; gives up after a minute.
set -eu
tries=0
while [ ! -e /definitions/definitions.json ]; do
  tries=$((tries + 1))
  [ "$tries" -lt 120 ] || { echo "no definitions: read the logs of the service 'definitions'" >&2; exit 1; }
  sleep 0.5
done
exec rabbitmq-server
