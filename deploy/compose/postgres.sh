# Creates the database on an empty disk, as the image's user, then serves it. The remains of an interrupted first start are removed.
set -eu
begun=${PGDATA%/*}/initializing
if [ ! -e "$PGDATA/PG_VERSION" ] || [ -e "$begun" ]; then
  touch "$begun"
  rm -rf "$PGDATA"
  printf %s "$POSTGRES_PASSWORD" > /tmp/password
  initdb --pgdata="$PGDATA" --username=flashsale --pwfile=/tmp/password --auth=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8
  rm /tmp/password
  echo 'CREATE DATABASE flashsale;' | postgres --single -D "$PGDATA" postgres
  echo 'host all all all scram-sha-256' >> "$PGDATA/pg_hba.conf"
  rm "$begun"
fi
exec postgres -c listen_addresses='*' -c unix_socket_directories=/tmp
