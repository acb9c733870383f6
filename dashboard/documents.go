package dashboard

import (
	"crypto/sha256"
	_ "embed" // document.html
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"net/http"
	"slices"
	"time"

	"pilewatch/internal/cases"
	"pilewatch/internal/charge"
)

// Documents are pages to print, in Chinese: what an office sends out is. They are files of their own, so that they
// look the same in an archive; their style is in them, allowed by its hash alone.

//go:embed document.html
var documentHTML string

//go:embed document.css
var documentCSS string

var documentNames = []string{"notice", "decision", "dossier"}

// A documentView is what a document says.
type documentView struct {
	*caseFile
	Name    string
	Title   string
	CSS     template.CSS
	Frozen  cases.Dossier
	Notice  *cases.Entry // the step that the document tells of
	Confirm *cases.Entry
	Review  *cases.Entry
	Ground  cases.Ground // the one with the longest window
	Today   string
}

func (d *Dashboard) writeDocument(w io.Writer, name string, f *caseFile) error {
	page, err := template.New("document").Funcs(template.FuncMap{
		"hours": func(minutes int64) string { return fmt.Sprintf("%.1f", float64(minutes)/60) },
		"time": func(t time.Time) string {
			if t.IsZero() {
				return "——"
			}
			return t.In(charge.Zone).Format("2006 年 1 月 2 日 15:04")
		},
		"exact": func(t time.Time) string {
			if t.IsZero() {
				return "——"
			}
			return t.In(charge.Zone).Format("2006-01-02 15:04:05.000")
		},
		"within": func(ms int64) string {
			if ms < 0 {
				return "一天以后"
			}
			return fmt.Sprintf(" %v 秒内", float64(ms)/1000)
		},
		"standing": func(word string) string { return standingWords[word] },
		"day": func(t *time.Time) string {
			return t.In(charge.Zone).Add(-time.Second).Format("2006 年 1 月 2 日 24:00")
		},
		"state": func(s cases.State) string { return s.Chinese() },
		"does":  func(a cases.Action) string { return a.Chinese() },
		"rule":  func(rule string) string { return ruleWords[rule] },
	}).Parse(documentHTML)
	if err != nil {
		return fmt.Errorf("read document.html: %w", err)
	}
	v := documentView{caseFile: f, Name: name, CSS: template.CSS(documentCSS), Today: time.Now().In(charge.Zone).Format("2006 年 1 月 2 日")} //nolint:gosec // a file of the program
	v.Title = map[string]string{"notice": "充电设施长期失效整改通知书", "decision": "充电设施移出公共充电设施统计与公共服务平台决定书", "dossier": "充电设施长期失效案卷"}[name]
	if err := json.Unmarshal(f.Dossier, &v.Frozen); err != nil {
		return err
	}
	for i, g := range v.Frozen.Grounds {
		if i == 0 || g.From.Before(v.Ground.From) {
			v.Ground = g
		}
	}
	for i := range f.Record {
		e := &f.Record[i]
		switch e.Action {
		case cases.Notify:
			v.Notice = e
		case cases.Confirm:
			v.Confirm = e
		case cases.Review:
			v.Review = e
		}
	}
	if err := page.Execute(w, v); err != nil {
		return fmt.Errorf("write %s of case %s: %w", name, f.ID, err)
	}
	return nil
}

// standingWords are how a connector stands, as documents name it.
var standingWords = map[string]string{
	"unseen": "未上报", "usable": "可用", "offline": "离线", "fault": "故障", "silent": "失联", "lapsed": "状态过期",
}

// ruleWords are the rules as documents name them.
var ruleWords = map[string]string{
	"silent": "失联：30 天无一枪可用且几乎收不到消息", "faulted": "故障：15 天全部枪故障", "not_usable": "不可用：30 天可用时间不超过 3 %",
	"unreliable": "不可靠：90 天可用率低于 50 %", "no_energy": "无电量：180 天未放电",
}

func (d *Dashboard) getCaseDocument(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("document")
	if !slices.Contains(documentNames, name) {
		return notFound("no such document; there are notice, decision and dossier")
	}
	c, err := d.readCase(r)
	if err != nil {
		return err
	}
	f, err := d.fileOf(r.Context(), viewerOf(r), &c)
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'sha256-"+styleHash+"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	h.Set("Cache-Control", "no-store")
	return d.writeDocument(w, name, f)
}

// styleHash is what the policy of a document lets through: its own style and nothing else.
var styleHash = func() string {
	sum := sha256.Sum256([]byte(documentCSS))
	return base64.StdEncoding.EncodeToString(sum[:])
}()
