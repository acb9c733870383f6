CREATE COLLATION IF NOT EXISTS nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false)

CREATE OR REPLACE FUNCTION max(a integer, b integer) RETURNS bigint LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS 'SELECT greatest(a, b)::bigint'

CREATE OR REPLACE FUNCTION min(a integer, b integer) RETURNS bigint LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS 'SELECT least(a, b)::bigint'

CREATE OR REPLACE FUNCTION max(a bigint, b bigint) RETURNS bigint LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS 'SELECT greatest(a, b)'

CREATE OR REPLACE FUNCTION min(a bigint, b bigint) RETURNS bigint LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS 'SELECT least(a, b)'

CREATE OR REPLACE FUNCTION max(a double precision, b double precision) RETURNS double precision LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS 'SELECT greatest(a, b)'

CREATE OR REPLACE FUNCTION min(a double precision, b double precision) RETURNS double precision LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS 'SELECT least(a, b)'

CREATE OR REPLACE FUNCTION json_member(doc text, member text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS 'SELECT doc::jsonb ->> member'

DO $$ BEGIN CREATE OPERATOR ->> (LEFTARG = text, RIGHTARG = text, FUNCTION = json_member); EXCEPTION WHEN duplicate_function THEN NULL; END $$

CREATE OR REPLACE FUNCTION raise_abort() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION '%', TG_ARGV[0]; END $$
