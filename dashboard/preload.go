package dashboard

import (
	"bytes"
	"html"
	"path"
	"regexp"
	"slices"
)

// entryModule is the page's first module, named by index.html.
const entryModule = "app.js"

// staticImport finds what a module imports before it runs; import(…) is of later.
var staticImport = regexp.MustCompile(`(?m)^(?:import|export)\b[^'"();]*['"](\.[^'"]+)['"]`)

// modulesOf gives the modules that a module needs before it runs, those of its imports' imports too, each once.
func (a *assets) modulesOf(entry string) []string {
	var all []string
	for next := []string{entry}; len(next) > 0; next = next[1:] {
		module := a.files[next[0]]
		if module == nil {
			continue
		}
		for _, found := range staticImport.FindAllSubmatch(module.plain, -1) {
			name := path.Join(path.Dir(next[0]), string(found[1]))
			if name != entry && !slices.Contains(all, name) {
				all, next = append(all, name), append(next, name)
			}
		}
	}
	return all
}

// preload has the browser fetch all modules beside the first one: without it, each is asked for once the one that
// imports it is there, some round trips one after the other.
func (a *assets) preload() {
	index := a.files["index.html"]
	if index == nil {
		return
	}
	var links bytes.Buffer
	for _, name := range a.modulesOf(entryModule) {
		links.WriteString(`<link rel="modulepreload" href="` + html.EscapeString(name) + "\">\n")
	}
	head := []byte("</head>")
	a.files["index.html"] = newAsset("index.html", bytes.Replace(index.plain, head, append(links.Bytes(), head...), 1))
}
