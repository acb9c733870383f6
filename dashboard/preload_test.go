package dashboard

import (
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"pilewatch/dashboard/web"
)

func TestModulesAreFetchedBesideTheFirst(t *testing.T) {
	for _, tt := range []struct {
		name string
		page fs.FS
		want []string // at least
		none []string
	}{
		{
			"imports of imports once, and nothing that is imported later", fstest.MapFS{
				"index.html": {Data: []byte("<head></head>")},
				"app.js":     {Data: []byte("// a page\nimport { a } from './a.js';\nimport {\n  b,\n} from './sub/b.mjs';\nimport './c.js';\n")},
				"a.js":       {Data: []byte("import { b } from './sub/b.mjs';\n/** @typedef {import('./typed.js').T} T */\nexport const a = () => import('./late.js');\n")},
				"sub/b.mjs":  {Data: []byte("export * from '../d.js';\nimport '../app.js';\n")},
				"c.js":       {}, "d.js": {}, "late.js": {}, "typed.js": {},
			}, []string{"a.js", "sub/b.mjs", "c.js", "d.js"}, []string{"app.js", "late.js", "typed.js"},
		},
		{
			"the page's own", web.Files,
			[]string{"overview.js", "map.js", "i18n.js", "live.js", "vendor/htm/standalone.mjs"},
			[]string{"app.js", "vendor/echarts/echarts.esm.min.mjs"},
		},
	} {
		a, err := newAssets(tt.page, false)
		if err != nil {
			t.Fatal(err)
		}
		text := string(a.files["index.html"].plain)
		link := func(name string) string { return `<link rel="modulepreload" href="` + name + `">` }
		for _, name := range tt.want {
			if strings.Count(text, link(name)) != 1 {
				t.Errorf("%s: %s is there %d times, want once", tt.name, name, strings.Count(text, link(name)))
			}
		}
		for _, name := range tt.none {
			if strings.Contains(text, link(name)) {
				t.Errorf("%s: %s is fetched ahead", tt.name, name)
			}
		}
		for _, name := range a.modulesOf(entryModule) {
			if a.files[name] == nil {
				t.Errorf("%s: %s is not one of the page's files", tt.name, name)
			}
		}
	}
}
