# Run once, by PostgreSQL's image, in an empty volume: a role and a database for each service.
for service in gateway storage dataset trainer; do
  psql --no-psqlrc --set ON_ERROR_STOP=1 --username postgres --dbname postgres \
    --set name="visiontune_$service" --set password="$(cat "/etc/visiontune/passwords/$service")" <<'SQL'
CREATE ROLE :"name" LOGIN PASSWORD :'password';
CREATE DATABASE :"name" OWNER :"name";
REVOKE CONNECT ON DATABASE :"name" FROM PUBLIC;
SQL
done
