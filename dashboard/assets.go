package dashboard

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
	"sync"

	"github.com/andybalholm/brotli"
)

// Types that the page uses; the system's own table may lack them or have others.
var assetTypes = map[string]string{
	".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8",
	".mjs": "text/javascript; charset=utf-8", ".json": "application/json", ".geojson": "application/geo+json",
	".svg": "image/svg+xml", ".png": "image/png", ".ico": "image/x-icon", ".woff2": "font/woff2", ".webmanifest": "application/manifest+json",
	".txt": "text/plain; charset=utf-8", ".map": "application/json",
}

// Smaller files gain nothing; pictures and fonts are compressed already.
const compressFrom = 1024

var compressible = map[string]bool{
	".html": true, ".css": true, ".js": true, ".mjs": true, ".json": true, ".geojson": true, ".svg": true, ".txt": true, ".map": true, ".webmanifest": true,
}

// Brotli's highest level takes seconds for a chart library and saves a twentieth.
const brotliLevel = 9

// assets are the page's files, each read and compressed once; or, to work on them, read anew each time.
type assets struct {
	fresh fs.FS // nil: use files
	files map[string]*asset
	build string
}

// An asset is one file in the forms that it is sent in.
type asset struct {
	kind    string
	etag    string
	plain   []byte
	packed  bool // whether it is worth compressing
	once    sync.Once
	gzipped []byte
	brotlid []byte
}

func newAssets(files fs.FS, fresh bool) (*assets, error) {
	if fresh {
		if _, err := fs.Stat(files, "index.html"); err != nil {
			return nil, fmt.Errorf("serve the page from --web-dir: %w", err)
		}
		return &assets{fresh: files, build: "dev"}, nil
	}
	a := &assets{files: map[string]*asset{}}
	all := sha256.New()
	err := fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		one := newAsset(name, text)
		a.files[name] = one
		fmt.Fprintln(all, name, one.etag)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the page's files: %w", err)
	}
	a.build = shortHash(all.Sum(nil))
	return a, nil
}

func newAsset(name string, text []byte) *asset {
	ext := path.Ext(name)
	kind := assetTypes[ext]
	if kind == "" {
		kind = mime.TypeByExtension(ext)
	}
	if kind == "" {
		kind = "application/octet-stream"
	}
	sum := sha256.Sum256(text)
	return &asset{kind: kind, etag: shortHash(sum[:]), plain: text, packed: compressible[ext] && len(text) >= compressFrom}
}

// find gives the file at a URL's path; "/" is index.html. Names that begin with a point, and the
// package's own Go source, are not the page's.
func (a *assets) find(urlPath string) (*asset, bool) {
	name := strings.TrimPrefix(path.Clean("/"+urlPath), "/")
	if name == "" {
		name = "index.html"
	}
	if strings.HasPrefix(path.Base(name), ".") || path.Ext(name) == ".go" {
		return nil, false
	}
	if a.fresh == nil {
		one, ok := a.files[name]
		return one, ok
	}
	text, err := fs.ReadFile(a.fresh, name)
	if err != nil {
		return nil, false
	}
	one := newAsset(name, text)
	one.packed = false // it is sent once
	return one, true
}

// pack makes the compressed forms. Writing to memory does not fail.
func (f *asset) pack() {
	if !f.packed {
		return
	}
	f.once.Do(func() {
		var g, b bytes.Buffer
		if gw, err := gzip.NewWriterLevel(&g, gzip.BestCompression); err == nil && writeAll(gw, f.plain) {
			f.gzipped = g.Bytes()
		}
		if writeAll(brotli.NewWriterLevel(&b, brotliLevel), f.plain) {
			f.brotlid = b.Bytes()
		}
	})
}

func writeAll(w io.WriteCloser, text []byte) bool {
	_, err := w.Write(text)
	return w.Close() == nil && err == nil
}

// compress makes all compressed forms before anyone asks.
func (a *assets) compress(ctx context.Context) {
	for _, f := range a.files {
		if ctx.Err() != nil {
			return
		}
		f.pack()
	}
}

// ServeHTTP sends a file in the best form that the browser takes, or says that its copy still holds.
func (a *assets) serve(w http.ResponseWriter, r *http.Request) bool {
	f, ok := a.find(r.URL.Path)
	if !ok {
		return false
	}
	h := w.Header()
	h.Set("Content-Type", f.kind)
	h.Set("Cache-Control", "no-cache") // kept, but asked after: a new program brings new files under old names
	body, tag := f.plain, f.etag
	if f.packed {
		f.pack()
		h.Add("Vary", "Accept-Encoding")
		switch {
		case accepts(r, "br") && f.brotlid != nil:
			body, tag = f.brotlid, f.etag+"-br"
			h.Set("Content-Encoding", "br")
		case accepts(r, "gzip") && f.gzipped != nil:
			body, tag = f.gzipped, f.etag+"-gz"
			h.Set("Content-Encoding", "gzip")
		}
	}
	sendTagged(w, r, tag, body)
	return true
}

// sendTagged sends a body under its ETag, or 304 when the asker has it.
func sendTagged(w http.ResponseWriter, r *http.Request, tag string, body []byte) {
	h := w.Header()
	tag = `"` + tag + `"`
	h.Set("ETag", tag)
	if hasTag(r, tag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Length", fmt.Sprint(len(body)))
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // the browser may have gone
	}
}

// accepts tells whether a client takes an encoding (RFC 9110 §12.5.3).
func accepts(r *http.Request, encoding string) bool {
	for part := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		name, q, _ := strings.Cut(strings.TrimSpace(part), ";")
		if strings.EqualFold(strings.TrimSpace(name), encoding) {
			q = strings.ReplaceAll(q, " ", "")
			return q != "q=0" && q != "q=0.0"
		}
	}
	return false
}
