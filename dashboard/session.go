package dashboard

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const (
	tokenFile    = "dashboard.token"
	cookieName   = "pilewatch"
	sessionLives = 7 * 24 * time.Hour
	minToken     = 16 // characters; a file emptied or cut by mistake lets nobody in
)

// sessions knows who has signed in: whoever has the token, or a cookie that was given for it. The
// cookie is the time it ends and a keyed hash of that, so a restart ends no session and a new
// token ends all. Attempts are not counted: nobody guesses 256 bits.
type sessions struct {
	file  string
	token string
}

// openSessions reads the token of the data directory, or makes one.
func openSessions(data string) (*sessions, error) {
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
	return &sessions{file: path, token: token}, nil
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

// signedIn tells whether a request carries the token or a cookie that still holds.
func (s *sessions) signedIn(r *http.Request) bool {
	if bearer, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		return s.isToken(bearer)
	}
	cookie, err := r.Cookie(cookieName)
	if err != nil {
		return false
	}
	ends, mac, _ := strings.Cut(cookie.Value, ".")
	unix, err := strconv.ParseInt(ends, 10, 64)
	if err != nil || time.Now().After(time.Unix(unix, 0)) {
		return false
	}
	return hmac.Equal([]byte(mac), []byte(s.mac(ends)))
}

func (s *sessions) mac(ends string) string {
	h := hmac.New(sha256.New, []byte(s.token))
	h.Write([]byte("session until " + ends))
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

// isToken compares hashes, so that the time it takes tells nothing, not even the length.
func (s *sessions) isToken(given string) bool {
	a, b := sha256.Sum256([]byte(given)), sha256.Sum256([]byte(s.token))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

// cookie is what a browser keeps; ends in the past takes it away.
func (s *sessions) cookie(r *http.Request, ends time.Time) *http.Cookie {
	text := strconv.FormatInt(ends.Unix(), 10)
	return &http.Cookie{ //nolint:gosec // Secure wherever the page came over TLS; the demo is plain HTTP on loopback
		Name: cookieName, Value: text + "." + s.mac(text), Path: "/", Expires: ends,
		HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: r.TLS != nil,
	}
}

// id of a build or a file's content.
func shortHash(sum []byte) string { return hex.EncodeToString(sum[:8]) }
