-- +goose Up

-- People who sign in to the dashboard. Times are Unix milliseconds.
CREATE TABLE accounts (
    id           INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    name         TEXT NOT NULL UNIQUE COLLATE NOCASE,
    full_name    TEXT NOT NULL,
    role         TEXT NOT NULL CHECK (role IN ('viewer', 'officer', 'reviewer', 'operator', 'admin')),
    scope        TEXT NOT NULL,    -- a division's code, an operator's id; '' of an admin
    password     TEXT NOT NULL,    -- argon2id in PHC form; '' of one that signs in elsewhere
    must_change  INTEGER NOT NULL, -- the password was set by somebody else
    issuer       TEXT NOT NULL,    -- OpenID Connect: who vouches, and for whom; both '' of a local account
    subject      TEXT NOT NULL,
    demo         INTEGER NOT NULL, -- anyone may sign in with it by a click
    failed       INTEGER NOT NULL, -- wrong passwords since the last right one or lock-out
    locked_until INTEGER,
    created      INTEGER NOT NULL,
    disabled     INTEGER
) STRICT;
CREATE UNIQUE INDEX accounts_subject ON accounts (issuer, subject) WHERE subject <> '';

-- Sign-ins that hold. The cookie's value is not kept, its SHA-256 is.
CREATE TABLE account_sessions (
    sha256  BLOB NOT NULL PRIMARY KEY,
    account INTEGER REFERENCES accounts (id) ON DELETE CASCADE, -- NULL: by the token of the data directory
    token   BLOB,                                               -- of that token, the SHA-256: another one ends the session
    created INTEGER NOT NULL,
    expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX account_sessions_account ON account_sessions (account);
CREATE INDEX account_sessions_expires ON account_sessions (expires);

-- What programs sign in with.
CREATE TABLE api_tokens (
    id      INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    name    TEXT NOT NULL,
    role    TEXT NOT NULL CHECK (role IN ('viewer', 'officer', 'reviewer', 'operator', 'admin')),
    scope   TEXT NOT NULL,
    sha256  BLOB NOT NULL UNIQUE,
    created INTEGER NOT NULL,
    expires INTEGER,
    revoked INTEGER
) STRICT;

-- Every change of the above, with who and when. Rows are never changed.
CREATE TABLE account_log (
    id      INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    at      INTEGER NOT NULL,
    who     TEXT NOT NULL, -- an account's name, "token N", "dashboard.token" or "shell"
    address TEXT NOT NULL, -- where from; '' from the shell
    action  TEXT NOT NULL,
    about   TEXT NOT NULL, -- the account's name, or "token N"
    detail  TEXT NOT NULL
) STRICT;

-- Grows when somebody's rights may be others than before, so that open connections are looked at.
CREATE TABLE account_revision (
    one INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    rev INTEGER NOT NULL
) STRICT;
INSERT INTO account_revision (one, rev) VALUES (1, 0);

-- +goose Down
DROP TABLE account_revision;
DROP TABLE account_log;
DROP TABLE api_tokens;
DROP TABLE account_sessions;
DROP TABLE accounts;
