package dashboard

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"pilewatch/internal/registry"
)

const (
	tokenFile  = "dashboard.token"
	cookieName = "pilewatch"
	minToken   = 16 // characters; a file emptied or cut by mistake lets nobody in
)

// A fileToken is the token of the data directory: whoever can read the file is an admin. It lets the
// first person in, and programs. Attempts are not counted: nobody guesses 256 bits.
type fileToken struct {
	file  string
	token string
	sum   [sha256.Size]byte
}

// openToken reads the token of the data directory, or makes one.
func openToken(data string) (*fileToken, error) {
	path := filepath.Join(data, tokenFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		text = []byte(rand.Text() + rand.Text()) // over 256 bits
		err = writeNew(path, text)
	}
	if err != nil {
		return nil, fmt.Errorf("read the dashboard's token: %w", err)
	}
	token := strings.TrimSpace(string(text))
	if len(token) < minToken {
		return nil, fmt.Errorf("read the dashboard's token: %s holds less than %d characters; remove it to get a new one", path, minToken)
	}
	return &fileToken{file: path, token: token, sum: sha256.Sum256([]byte(token))}, nil
}

// writeNew puts the whole file there or nothing.
func writeNew(path string, text []byte) error {
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(text, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// is compares hashes, so that the time it takes tells nothing, not even the length.
func (t *fileToken) is(given string) bool {
	sum := sha256.Sum256([]byte(given))
	return t.isSum(sum[:])
}

func (t *fileToken) isSum(sum []byte) bool { return subtle.ConstantTimeCompare(sum, t.sum[:]) == 1 }

// admin is whoever has the token.
func (t *fileToken) admin(session string) viewer {
	return viewer{Grant: registry.Grant{Role: registry.Admin}, name: tokenFile, session: session}
}

var errBadBearer = newProblem(http.StatusUnauthorized, "wrong token", "the Bearer token is unknown, revoked or over")

// viewerFrom finds out who sends a request. A cookie that no longer holds is nobody's; a Bearer
// token that does not is an error, so that a program does not go on with less.
func (d *Dashboard) viewerFrom(ctx context.Context, r *http.Request) (v viewer, err error) {
	defer func() { v.public = d.cfg.Public }()
	if bearer, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		if d.token.is(bearer) {
			return d.token.admin(""), nil
		}
		t, err := d.registry.FindAPIToken(ctx, bearer)
		if errors.Is(err, registry.ErrUnknownToken) {
			return viewer{}, errBadBearer
		}
		if err != nil {
			return viewer{}, err
		}
		return viewer{Grant: t.Grant, name: t.Label(), fullName: t.Name}, nil
	}
	cookie, err := r.Cookie(cookieName)
	if err != nil {
		return viewer{}, nil //nolint:nilerr // without one
	}
	s, err := d.registry.FindSession(ctx, cookie.Value)
	switch {
	case errors.Is(err, registry.ErrNoSession):
		return viewer{}, nil
	case err != nil:
		return viewer{}, err
	case s.Token != nil && d.token.isSum(s.Token):
		return d.token.admin(cookie.Value), nil
	case s.Token != nil, s.Account.Demo && !d.cfg.Demo:
		return viewer{}, nil
	}
	return accountViewer(&s.Account, cookie.Value), nil
}

func accountViewer(a *registry.Account, session string) viewer {
	return viewer{
		Grant: a.Grant, name: a.Name, fullName: a.FullName, account: a.ID, session: session,
		local: a.Local(), mustChange: a.MustChange, demo: a.Demo,
	}
}

type viewerKey struct{}

// viewerOf gives who sends a request, as guarded has found out.
func viewerOf(r *http.Request) *viewer {
	if v, ok := r.Context().Value(viewerKey{}).(*viewer); ok {
		return v
	}
	return &viewer{} // may nothing
}

// overTLS tells whether the browser speaks TLS, to us or to what stands before us.
func (d *Dashboard) overTLS(r *http.Request) bool {
	return r.TLS != nil || strings.HasPrefix(d.cfg.URL, "https://")
}

// cookie is what a browser keeps; ends in the past takes it away.
func (d *Dashboard) cookie(r *http.Request, secret string, ends time.Time) *http.Cookie {
	return &http.Cookie{ //nolint:gosec // Secure wherever the page comes over TLS; the demo is plain HTTP on loopback
		Name: cookieName, Value: secret, Path: "/", Expires: ends,
		HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: d.overTLS(r),
	}
}

// id of a build or a file's content.
func shortHash(sum []byte) string { return hex.EncodeToString(sum[:8]) }
