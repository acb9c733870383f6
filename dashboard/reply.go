package dashboard

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

// bodyAtMost is what a request may hold.
const bodyAtMost = 4 << 10

// readBody reads a request's JSON object into what it should hold. Unknown members are refused: a
// misspelt one would be taken for one that was left out.
func readBody(w http.ResponseWriter, r *http.Request, into any) error {
	body := json.NewDecoder(http.MaxBytesReader(w, r.Body, bodyAtMost))
	body.DisallowUnknownFields()
	if err := body.Decode(into); err != nil {
		return badRequest("the body is not the JSON object that /api/v1/openapi.yaml describes: " + clip(err.Error()))
	}
	if _, err := body.Token(); err != io.EOF { //nolint:errorlint // io.EOF is given as it is
		return badRequest("the body holds more than one JSON object")
	}
	return nil
}

// packers compress at the fastest level: a list of townships is made anew with each change in it.
var packers = sync.Pool{New: func() any {
	g, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed) // the level is one
	return g
}}

// reply sends JSON, compressed where that is worth it and the client takes it.
func reply(w http.ResponseWriter, r *http.Request, data any) error {
	return replyStatus(w, r, http.StatusOK, data)
}

func replyStatus(w http.ResponseWriter, r *http.Request, status int, data any) error {
	text, err := json.Marshal(data)
	if err != nil {
		return fmt.Errorf("encode answer: %w", err)
	}
	w.Header().Set("Cache-Control", "no-store")
	send(w, r, status, text)
	return nil
}

// replyTagged sends what seldom changes under an ETag, or 304 to who has it already.
func replyTagged(w http.ResponseWriter, r *http.Request, data any) error {
	text, err := json.Marshal(data)
	if err != nil {
		return fmt.Errorf("encode answer: %w", err)
	}
	sum := sha256.Sum256(text)
	tag := `"` + shortHash(sum[:]) + `"`
	h := w.Header()
	h.Set("ETag", "W/"+tag) // compressed or not
	h.Set("Cache-Control", "private, no-cache")
	h.Add("Vary", "Accept-Encoding, Authorization, Cookie")
	if hasTag(r, tag) {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	send(w, r, http.StatusOK, text)
	return nil
}

// hasTag tells whether the asker has what goes by a tag (RFC 9110 §13.1.2).
func hasTag(r *http.Request, tag string) bool {
	for known := range strings.SplitSeq(r.Header.Get("If-None-Match"), ",") {
		if known = strings.TrimPrefix(strings.TrimSpace(known), "W/"); known == tag || known == "*" {
			return true
		}
	}
	return false
}

func send(w http.ResponseWriter, r *http.Request, status int, text []byte) {
	var packed []byte
	if accepts(r, "gzip") {
		packed = pack(text)
	}
	sendPacked(w, r, status, text, packed)
}

// pack compresses a text, nil where that is not worth it.
func pack(text []byte) []byte {
	if len(text) < compressFrom {
		return nil
	}
	var b bytes.Buffer
	g := packers.Get().(*gzip.Writer) //nolint:forcetypeassert // the pool holds nothing else
	defer packers.Put(g)
	g.Reset(&b)
	if !writeAll(g, text) {
		return nil
	}
	return b.Bytes()
}

// sendPacked sends a text, or where there is one and the client takes it, its compressed form.
func sendPacked(w http.ResponseWriter, r *http.Request, status int, text, packed []byte) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Add("Vary", "Accept-Encoding")
	if packed != nil && accepts(r, "gzip") {
		h.Set("Content-Encoding", "gzip")
		text = packed
	}
	h.Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(text) // the client may have gone
	}
}
