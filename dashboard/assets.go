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

// Measured on the page's 1.9 MB: brotli's level 6 takes 0.3 s of CPU and gives 567 kB, level 9 takes
// 1.2 s for 558 kB; gzip's level 5 takes 0.1 s for 623 kB, level 9 0.24 s for 619 kB. The machine that
// starts has readings to take.
const (
	brotliLevel = 6
	gzipLevel   = 5
)

// assets are the page's files, each read once, and compressed once; or, to work on them, read anew each time.
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
	packed  bool          // whether it is worth compressing
	gzipped func() []byte // made once, when it is first asked for
	brotlid func() []byte // likewise
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
	a.preload()
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
	return &asset{
		kind: kind, etag: shortHash(sum[:]), plain: text, packed: compressible[ext] && len(text) >= compressFrom,
		gzipped: sync.OnceValue(func() []byte { return gzipped(text) }), brotlid: sync.OnceValue(func() []byte { return brotlid(text) }),
	}
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

// gzipped and brotlid compress a text; nil where they cannot. Writing to memory does not fail.
func gzipped(text []byte) []byte {
	var packed bytes.Buffer
	w, err := gzip.NewWriterLevel(&packed, gzipLevel)
	if err != nil || !writeAll(w, text) {
		return nil
	}
	return packed.Bytes()
}

func brotlid(text []byte) []byte {
	var packed bytes.Buffer
	if !writeAll(brotli.NewWriterLevel(&packed, brotliLevel), text) {
		return nil
	}
	return packed.Bytes()
}

func writeAll(w io.WriteCloser, text []byte) bool {
	_, err := w.Write(text)
	return w.Close() == nil && err == nil
}

// compress makes the forms that nearly every browser takes before anyone asks.
func (a *assets) compress(ctx context.Context) {
	for _, f := range a.files {
		if ctx.Err() != nil {
			return
		}
		if f.packed {
			f.brotlid()
		}
	}
}

// serve sends a file in the best form that the browser takes, or says that its copy still holds.
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
		h.Add("Vary", "Accept-Encoding")
		if accepts(r, "br") {
			if packed := f.brotlid(); packed != nil {
				body, tag = packed, f.etag+"-br"
				h.Set("Content-Encoding", "br")
			}
		} else if accepts(r, "gzip") {
			if packed := f.gzipped(); packed != nil {
				body, tag = packed, f.etag+"-gz"
				h.Set("Content-Encoding", "gzip")
			}
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
