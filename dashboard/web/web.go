// Package web is the page, as files that a browser reads: nothing is built.
package web

import "embed"

// Files are the page: its documents, styles, modules, maps and libraries.
//
//go:embed *.html *.css *.js *.svg maps vendor
var Files embed.FS
